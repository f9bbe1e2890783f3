"""The engine: a supervisor that holds the session with dispatch, and one runner per attempt."""
