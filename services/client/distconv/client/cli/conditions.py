"""Conditions of the contract's filters, made of what was typed."""


def quoted(value: str) -> str:
    """Return a value as a filter may hold it, whatever it is."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
