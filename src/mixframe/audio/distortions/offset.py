"""A constant offset."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform


class Offset(Distortion):
    """Direct current in a recorder: a constant is added.

    Attributes:
        value: full scale is 1.
    """

    kind: Literal["offset"]
    value: Annotated[float, Field(ge=-1, le=1)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        return (wave + np.float32(self.value)).astype(np.float32)
