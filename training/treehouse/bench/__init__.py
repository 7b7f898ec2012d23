"""Benchmarks: each a module with `run(...)` that answers records."""
