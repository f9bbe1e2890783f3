"""Conversions from the contract's messages to the values of the SDK."""
