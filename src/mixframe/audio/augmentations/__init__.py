"""Augmentations: what training crops go through before the encoder hears them.

A new one is a module with a section, whose `apply` does the work, and one line below.
"""

from typing import Annotated

from mixframe.audio.augmentations.augmentation import Augmentation
from mixframe.base.schema import OneOf, sections

AUGMENTATIONS: dict[str, type[Augmentation]] = sections(
    __name__,
    {
        "chain": "chain.Chain",
        "none": "none.NoAugmentation",
        "rawboost": "rawboost.RawBoost",
    },
)
"""The augmentations by the kind that a preset gives."""

AnyAugmentation = Annotated[Augmentation, OneOf(AUGMENTATIONS)]
