"""Events between processes: a durable bus, hints between replicas, and what carries them."""
