"""Kinds of system: what is trained on the train set and gives every utterance a score.

A new one is a module with a section, whose `fit` and `score` do the work, and one line below. What
imports torch is imported in them, so that reading a preset stays quick.
"""

from typing import Annotated

from mixframe.base.schema import OneOf, sections
from mixframe.training.systems.system import System

SYSTEMS: dict[str, type[System]] = sections(
    __name__,
    {
        "neural": "neural.Neural",
        "lfcc": "lfcc.Lfcc",
        "localiser": "localiser.FrameSystem",
        "frames": "frames.Frames",
        "adversarial": "adversarial.Adversarial",
    },
)
"""The kinds of system by the name that a preset gives."""

AnySystem = Annotated[System, OneOf(SYSTEMS)]
