"""What loads the control plane: simulated engines, clients, a dispatch process, their CPU time."""
