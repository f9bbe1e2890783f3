"""The life of a job: planned into tasks, leased, concluded, failed, published."""
