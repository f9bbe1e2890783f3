"""What distconv's control plane is measured against, each in an environment of its own."""
