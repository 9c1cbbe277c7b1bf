"""The data budget: what may be sent and received on interfaces where each byte costs."""

from edge_agent.budget.spend import Purpose, Spend, Unlimited

__all__ = ["Purpose", "Spend", "Unlimited"]
