"""What every process does alike: settings with their sources, logs, and signals."""
