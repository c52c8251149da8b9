"""Polarity."""

from typing import Literal

import numpy as np

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform


class Polarity(Distortion):
    """A cable the wrong way round: the sign of every sample."""

    kind: Literal["polarity"]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        return -wave
