"""Noise at a signal-to-noise ratio."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import Wave, with_noise
from mixframe.audio.io import SAMPLE_RATE, Waveform

Snr = Annotated[float, Field(ge=-40, le=100)]
"""dB, of the powers of signal and noise over the whole utterance."""

LOWEST_HZ = 20.0
"""Pink noise has nothing below what is heard, where half of it would be."""


class Noise(Distortion):
    """Gaussian noise.

    Attributes:
        colour: "white": equal power in each Hz; "pink": equal power in each octave from 20 Hz.
        snr_db: of the powers of signal and noise over the whole utterance; silence stays silent.
    """

    kind: Literal["noise"]
    colour: Literal["white", "pink"]
    snr_db: Snr

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); the noise is drawn."""
        noise = rng.standard_normal(wave.size)
        if self.colour == "pink":
            noise = pink(noise)
        return with_noise(wave, noise, self.snr_db).astype(np.float32)


def pink(white: Wave) -> Wave:
    """Filter (n,) white noise so that its power falls by 3 dB an octave."""
    hertz = np.fft.rfftfreq(white.size, 1 / SAMPLE_RATE)
    gain = np.where(hertz < LOWEST_HZ, 0, 1 / np.sqrt(np.maximum(hertz, LOWEST_HZ)))
    return np.fft.irfft(np.fft.rfft(white) * gain, white.size)
