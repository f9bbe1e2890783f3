"""Stored objects as dispatch sees them: the port to storage, its adapter, access to media."""
