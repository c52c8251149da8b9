"""Another sampling rate and back."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import convert, fit
from mixframe.audio.io import SAMPLE_RATE, Waveform


class Resample(Distortion):
    """Conversion to another sampling rate and back.

    Attributes:
        rate_hz: below 16 kHz, what is above half of it is lost.
    """

    kind: Literal["resample"]
    rate_hz: Annotated[int, Field(ge=2_000, le=192_000)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        there = convert(wave, SAMPLE_RATE, self.rate_hz)
        return fit(convert(there, self.rate_hz, SAMPLE_RATE), wave.size).astype(np.float32)
