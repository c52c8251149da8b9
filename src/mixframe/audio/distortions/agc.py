"""Automatic gain control."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import levels_db, smooth, with_gain
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Above0, AtLeast0

STEP = SAMPLE_RATE // 100
"""Samples between gains: 10 ms."""


class GainControl(Distortion):
    """A gain that follows the level of the speech, as in telephones and recorders.

    The level of 10 ms is smoothed by one pole, fast up and slow down, and brought to a target. It
    is followed where it is above a gate; in pauses it stays where it was, and it starts at the
    target.

    Attributes:
        target_dbfs: RMS that speech is brought to.
        max_gain_db: largest amplification and attenuation.
        attack_ms: time constant with which a rising level is followed.
        release_ms: with which a falling one is.
        gate_dbfs: level below which 10 ms are no speech.
    """

    kind: Literal["agc"]
    target_dbfs: Annotated[float, Field(ge=-60, le=0)]
    max_gain_db: Annotated[float, Field(gt=0, le=60)]
    attack_ms: AtLeast0
    release_ms: Above0
    gate_dbfs: Annotated[float, Field(ge=-100, le=0)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        level = levels_db(wave, STEP)
        speech = np.flatnonzero(level > self.gate_dbfs)
        heard = smooth(level[speech], self.target_dbfs, self.attack_ms, self.release_ms, 10)
        # Each pause has the level of the speech before it, the first one the target.
        last = np.searchsorted(speech, np.arange(level.size), side="right")
        followed = np.concatenate([[self.target_dbfs], heard])[last]
        gain = np.clip(self.target_dbfs - followed, -self.max_gain_db, self.max_gain_db)
        return with_gain(wave, gain, STEP).astype(np.float32)
