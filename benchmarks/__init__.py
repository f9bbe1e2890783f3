"""Benchmarks: `make bench BENCH=name`. Each compares with a reference measured in the same run."""
