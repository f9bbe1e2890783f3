"""Where dispatch keeps its truth: the port, its records, and the adapters."""
