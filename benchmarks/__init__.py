"""Benchmarks: `python benchmarks/bench.py` measures speeds, one module a subject. Nobody imports it but its tests."""
