"""The local cloud: the deployed template, run on this machine."""
