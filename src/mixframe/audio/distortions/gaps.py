"""Gaps in what is played out."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mixframe.audio.distortions.distortion import LONGEST_MS, Distortion
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Range

FRAME = SAMPLE_RATE // 50
"""Samples of a packet: 20 ms."""


class Gaps(Distortion):
    """Jitter: play-out waits in silence for packets that come late. The utterance gets longer.

    Attributes:
        per_second: gaps, on average; each may be before any packet of 20 ms.
        ms: shortest and longest gap.
    """

    kind: Literal["gaps"]
    per_second: Annotated[float, Field(gt=0, le=50)]
    ms: Range

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.ms[0] < 0 or self.ms[1] > LONGEST_MS:
            raise ValueError(f"ms {self.ms}: gaps are of 0 to {LONGEST_MS:,} ms")
        return self

    @property
    def keeps_length(self) -> bool:
        """False."""
        return False

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (m,), m >= n; which packets are late, and how late, is drawn."""
        starts = np.arange(FRAME, wave.size, FRAME)
        late = starts[rng.random(starts.size) < self.per_second * FRAME / SAMPLE_RATE]
        shortest, longest = self.ms
        seconds = rng.uniform(shortest, longest, late.size) / 1000
        waits = np.rint(seconds * SAMPLE_RATE).astype(np.int64)
        return np.insert(wave, np.repeat(late, waits), np.float32(0))
