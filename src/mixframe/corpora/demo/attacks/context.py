"""What an attack may know besides the samples it starts from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VoiceStatistics:
    """How a voice sounds on average, over voiced frames.

    Attributes:
        voice: its name.
        log_f0_mean: mean of the natural logarithm of F0 in Hz.
        log_f0_std: standard deviation of the same.
        log_envelope: (bins,) mean natural logarithm of the WORLD power envelope.
    """

    voice: str
    log_f0_mean: float
    log_f0_std: float
    log_envelope: Wave


@dataclass(frozen=True)
class Context:
    """What an attack may know besides the samples.

    Attributes:
        language: the espeak-ng voice of the language that is spoken, such as `en-us`.
        target: the voice to convert to; None for attacks that keep the voice.
    """

    language: str
    target: VoiceStatistics | None = None


def fit_length(wave: Wave, n_samples: int) -> Wave:
    """Cut (m,) samples to `n_samples`, or put zeros behind them."""
    return np.pad(wave[:n_samples], (0, max(0, n_samples - wave.size)))
