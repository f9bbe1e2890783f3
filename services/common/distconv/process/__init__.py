"""What every process does alike: its command, settings with their sources, logs, and signals."""
