"""dcctl: distconv from the command line, one module per command group."""
