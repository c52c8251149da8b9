"""Pitch."""

from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import fit, lengthen
from mixframe.audio.io import Waveform


class Pitch(Distortion):
    """A voice made higher or lower, formants and all, at its speed.

    The utterance is made longer by WSOLA and then resampled to its length, or shorter.

    Attributes:
        semitones: 12 are an octave; kept to a tenth of a percent.
    """

    kind: Literal["pitch"]
    semitones: Annotated[float, Field(ge=-6, le=6)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        ratio = Fraction(2 ** (self.semitones / 12)).limit_denominator(100)
        longer = lengthen(wave, float(ratio))
        faster = scipy.signal.resample_poly(longer, ratio.denominator, ratio.numerator)
        return fit(faster, wave.size).astype(np.float32)
