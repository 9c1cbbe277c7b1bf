"""Deploys the template into the engine and compares what exists with what it says."""
