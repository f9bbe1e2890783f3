"""Background duties: one per module, each woken by an event or by the time of what is due next."""
