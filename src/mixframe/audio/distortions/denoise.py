"""Spectral subtraction."""

from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import fit
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Share

WINDOW = 512
"""Samples of a frame: 32 ms, by half of them apart."""


class Denoise(Distortion):
    """A denoiser: the spectrum of the noise is subtracted, which leaves musical noise.

    Power spectral subtraction of more than the noise down to a floor (Berouti, Schwartz and
    Makhoul, "Enhancement of speech corrupted by acoustic noise", ICASSP 1979). What counts as noise
    is a quantile of each bin over the frames (Stahl, Fischer and Bippus, "Quantile based noise
    estimation for spectral subtraction and Wiener filtering", ICASSP 2000).

    Attributes:
        quantile: of the power of a bin over the frames: 0.5 is the median.
        factor: how many times the noise's power is subtracted.
        floor_db: what is left of a bin at least, below the noise's power in it.
    """

    kind: Literal["denoise"]
    quantile: Share
    factor: Annotated[float, Field(gt=0, le=20)]
    floor_db: Annotated[float, Field(ge=0, le=80)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        padded = fit(wave, max(wave.size, WINDOW)).astype(np.float64)
        spectrum = scipy.signal.stft(padded, SAMPLE_RATE, nperseg=WINDOW)[2]
        power = np.square(np.abs(spectrum))
        noise = np.quantile(power, self.quantile, axis=1, keepdims=True)
        floor = np.minimum(power, noise * 10 ** (-self.floor_db / 10))
        clean = np.maximum(power - self.factor * noise, floor)
        gain = np.sqrt(clean / np.maximum(power, 1e-20))
        _, out = scipy.signal.istft(spectrum * gain, SAMPLE_RATE, nperseg=WINDOW)
        return fit(out, wave.size).astype(np.float32)
