"""Benchmarks: each a module with `run(...)` that answers records.

May import experiments, monitor, tune and what lies below them.
"""
