"""Conversions between the core's values and the contract's messages, one module per concept."""
