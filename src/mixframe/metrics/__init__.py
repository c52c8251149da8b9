"""Metrics: score files and protocols in, figures with intervals out. Nothing here imports torch."""
