"""Speed at the same pitch."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import lengthen
from mixframe.audio.io import Waveform


class Stretch(Distortion):
    """Slower or faster speech at its pitch, by WSOLA. The length changes.

    Attributes:
        factor: of the duration.
    """

    kind: Literal["stretch"]
    factor: Annotated[float, Field(ge=0.5, le=2)]

    @property
    def keeps_length(self) -> bool:
        """False."""
        return False

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (m,), m = n * factor, rounded, at least 1; nothing is drawn."""
        return lengthen(wave, self.factor).astype(np.float32)
