"""The control plane: jobs, tasks, leases, scheduling and engine sessions."""
