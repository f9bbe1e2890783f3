"""The runner: a process that owns one attempt, its source, its encoder and its sink."""
