"""Engine sessions: their stream and messages, and what is known of an engine while it lasts."""
