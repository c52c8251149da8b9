"""Level."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform


class Level(Distortion):
    """A gain.

    Attributes:
        gain_db: what exceeds full scale stays so, as long as it is not written to a file.
    """

    kind: Literal["level"]
    gain_db: Annotated[float, Field(ge=-80, le=80)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        return (wave * np.float32(10 ** (self.gain_db / 20))).astype(np.float32)
