"""Readings in words and aligned columns, for people at a terminal."""

from edge_agent.display.reports import report, summary
from edge_agent.display.terminal import Palette, table
from edge_agent.display.verdicts import colour_of, verdict

__all__ = ["Palette", "colour_of", "report", "summary", "table", "verdict"]
