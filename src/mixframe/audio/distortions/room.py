"""Reverberation by a simulated room."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.signal import Wave, reverberate
from mixframe.audio.io import SAMPLE_RATE, Waveform


class Room(Distortion):
    """A room: direct sound, then Gaussian noise that dies away exponentially.

    Polack's statistical model ("La transmission de l'energie sonore dans les salles", thesis,
    Universite du Maine, 1988). The power is that of the utterance before.

    Attributes:
        rt60_seconds: time in which the reverberation falls by 60 dB.
        drr_db: ratio of the energies of direct sound and reverberation.
    """

    kind: Literal["room"]
    rt60_seconds: Annotated[float, Field(ge=0.05, le=5)]
    drr_db: Annotated[float, Field(ge=-30, le=60)]

    def response(self, rng: np.random.Generator) -> Wave:
        """Draw an impulse response: (m,) as long as the reverberation time, direct sound first."""
        time = np.arange(1, round(self.rt60_seconds * SAMPLE_RATE)) / SAMPLE_RATE
        decay = 10 ** (-3 * time / self.rt60_seconds)
        tail = rng.standard_normal(time.size) * decay
        tail *= 10 ** (-self.drr_db / 20) / np.linalg.norm(tail)
        return np.concatenate([[1.0], tail])

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); the room is drawn."""
        return reverberate(wave, self.response(rng)).astype(np.float32)
