"""Encoders, heads and the detector made of them. Models know tensors and nothing of files."""
