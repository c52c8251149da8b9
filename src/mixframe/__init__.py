"""Reproducible experiments for speech deepfake detection: MFPT and FGFM as one tracked pipeline.

What `docs/python.md` shows is imported from here; each name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixframe.audio.splicing.arrays import splice
    from mixframe.base.errors import MixframeError
    from mixframe.bundle.detector import Detector
    from mixframe.metrics.detection import eer
    from mixframe.metrics.intervals import eer_interval
    from mixframe.models.building import head
    from mixframe.models.frame_classifier import FrameClassifier

__version__ = "0.1.0"

__all__ = [
    "Detector",
    "FrameClassifier",
    "MixframeError",
    "eer",
    "eer_interval",
    "head",
    "splice",
]

_HOMES = {
    "Detector": "bundle.detector",
    "FrameClassifier": "models.frame_classifier",
    "MixframeError": "base.errors",
    "eer": "metrics.detection",
    "eer_interval": "metrics.intervals",
    "head": "models.building",
    "splice": "audio.splicing.arrays",
}


def __getattr__(name: str) -> Any:
    """Import a public name (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixframe' has no attribute {name!r}")
    return getattr(import_module(f"mixframe.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return what is there already and the public names."""
    return sorted({*globals(), *__all__})
