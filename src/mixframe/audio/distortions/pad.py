"""Added silence."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion, Milliseconds
from mixframe.audio.io import SAMPLE_RATE, Waveform


class Pad(Distortion):
    """Silence before and behind the utterance, which gets longer.

    Attributes:
        before_ms, after_ms: of silence.
        noise_dbfs: level of the white noise in it; -100 and less is below a 16-bit file's steps.
    """

    kind: Literal["pad"]
    before_ms: Milliseconds
    after_ms: Milliseconds
    noise_dbfs: Annotated[float, Field(ge=-140, le=0)]

    @property
    def keeps_length(self) -> bool:
        """False."""
        return False

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (m,), m >= n; the noise is drawn."""
        before, after = (
            rng.standard_normal(round(ms * SAMPLE_RATE / 1000)) * 10 ** (self.noise_dbfs / 20)
            for ms in (self.before_ms, self.after_ms)
        )
        return np.concatenate([before, wave, after], dtype=np.float32)
