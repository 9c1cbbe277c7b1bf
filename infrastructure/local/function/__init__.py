"""The Lambda runtime: the built package under the real runtime client."""
