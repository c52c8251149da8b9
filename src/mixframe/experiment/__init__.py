"""Experiment: the preset and its grid, where files lie, the cells of dvc.yaml."""
