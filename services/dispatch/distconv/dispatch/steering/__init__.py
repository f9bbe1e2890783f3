"""What clients and operators change: create, update, hold, retry and delete jobs; steer engines."""
