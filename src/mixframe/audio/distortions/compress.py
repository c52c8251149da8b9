"""Dynamic range compression."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import at_power, levels_db, power, smooth, with_gain
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Above0, AtLeast0

STEP = SAMPLE_RATE // 1000
"""Samples between gains: 1 ms."""


class Compress(Distortion):
    """What is louder than a threshold is made quieter: broadcasting, conference software.

    A feed-forward compressor on levels in dB with a hard knee (Giannoulis, Massberg and Reiss,
    "Digital dynamic range compressor design", J. Audio Eng. Soc. 60, 2012). The power is
    that of the utterance before.

    Attributes:
        threshold_db: level of 1 ms, in dB above the RMS of the utterance, from which on it is
            compressed.
        ratio: dB in for each dB out, above the threshold.
        attack_ms: time constant with which the gain goes down.
        release_ms: with which it comes back.
    """

    kind: Literal["compress"]
    threshold_db: Annotated[float, Field(ge=-60, le=40)]
    ratio: Annotated[float, Field(ge=1, le=100)]
    attack_ms: AtLeast0
    release_ms: Above0

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        threshold = levels_db(wave, wave.size)[0] + self.threshold_db
        above = np.maximum(levels_db(wave, STEP) - threshold, 0) * (1 - 1 / self.ratio)
        reduction = smooth(above, 0.0, self.attack_ms, self.release_ms, 1)
        return at_power(with_gain(wave, -reduction, STEP), power(wave)).astype(np.float32)
