"""Which engine ought to get which task. Pure."""
