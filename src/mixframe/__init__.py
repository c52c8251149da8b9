"""Reproducible experiments for speech deepfake detection: MFPT and FGFM as one tracked pipeline."""

__version__ = "0.1.0"
