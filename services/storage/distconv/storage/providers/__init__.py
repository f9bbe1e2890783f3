"""Where bytes lie: the provider port and its adapters."""
