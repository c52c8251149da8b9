"""Stages: the steps of the pipeline, one module each: files and parameters in, files out."""
