"""The fleet simulator: virtual gateways that stand in for hardware."""
