"""Several distortions, one after another."""

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform

if TYPE_CHECKING:
    from mixframe.audio.distortions import AnyDistortion


class Chain(Distortion):
    """Several distortions, one after another: a replayed recording, two codecs on a line.

    Attributes:
        steps: in their order.
    """

    kind: Literal["chain"]
    steps: Annotated[list["AnyDistortion"], Field(min_length=1)]

    @property
    def keeps_length(self) -> bool:
        """Whether all steps do."""
        return all(step.keeps_length for step in self.steps)

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (m,); the steps draw from the generator in turn."""
        for step in self.steps:
            wave = step.apply(wave, rng)
        return wave
