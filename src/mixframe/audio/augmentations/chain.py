"""Distortions that are drawn for each utterance."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mixframe.audio.augmentations.augmentation import Augmentation
from mixframe.audio.augmentations.rawboost import RawBoost
from mixframe.audio.distortions import DISTORTIONS
from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import fit
from mixframe.audio.io import Waveform
from mixframe.base.schema import OneOf, Positive, Share

CONDITIONS: dict[str, type[Distortion | RawBoost]] = {**DISTORTIONS, "rawboost": RawBoost}
"""What a chain can have: every distortion, and RawBoost."""

AnyCondition = Annotated[Distortion | RawBoost, OneOf(CONDITIONS)]


class Chain(Augmentation):
    """Conditions drawn from a list, one after another, anew for each utterance.

    Attributes:
        share: of the utterances that are changed; the others are heard as they are.
        most: conditions that an utterance goes through, at most; their number is drawn from 1 on,
            and no condition comes twice.
        conditions: what is drawn from, all equally likely.
    """

    kind: Literal["chain"]
    share: Share
    most: Positive
    conditions: Annotated[list[AnyCondition], Field(min_length=1)]

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.most > len(self.conditions):
            raise ValueError(f"most {self.most} exceeds the {len(self.conditions)} conditions")
        return self

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,): what gets longer is cut, what gets shorter ends in silence."""
        if rng.random() >= self.share:
            return wave
        count = int(rng.integers(1, self.most + 1))
        made = wave
        for number in rng.permutation(len(self.conditions))[:count]:
            made = self.conditions[number].apply(made, rng)
        return fit(made, wave.size).astype(np.float32)
