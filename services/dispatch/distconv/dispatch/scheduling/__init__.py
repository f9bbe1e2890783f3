"""Give ready tasks, and benchmarks, to the engines connected here."""
