"""A band of frequencies, such as the telephone's."""

from typing import Annotated, Literal, Self

import numpy as np
import scipy
from pydantic import Field, model_validator

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import SAMPLE_RATE, Waveform

Hertz = Annotated[float, Field(gt=0, lt=SAMPLE_RATE / 2)]


class Band(Distortion):
    """A Butterworth band-pass filter, run forward and backward, so that nothing is delayed.

    The telephone's band is 300 to 3,400 Hz (ITU-T G.712).

    Attributes:
        low_hz, high_hz: of the band, where 6 dB are lost.
        order: of the filter at each end, in each direction.
    """

    kind: Literal["band"]
    low_hz: Hertz
    high_hz: Hertz
    order: Annotated[int, Field(ge=1, le=10)]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} is not below high_hz {self.high_hz:g}")
        return self

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        limits = [self.low_hz, self.high_hz]
        filters = scipy.signal.butter(self.order, limits, "bandpass", output="sos", fs=SAMPLE_RATE)
        around = min(wave.size - 1, SAMPLE_RATE // 10)
        passed = scipy.signal.sosfiltfilt(filters, wave.astype(np.float64), padlen=around)
        return np.asarray(passed, dtype=np.float32)
