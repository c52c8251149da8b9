"""Timings and simulations; each module runs as `python -m benchmarks.NAME`."""
