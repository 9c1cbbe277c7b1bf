"""The agent that runs on a gateway; import-free, because the Lambda ships this package with the contract."""
