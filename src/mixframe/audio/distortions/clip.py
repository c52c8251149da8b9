"""Clipping."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform


class Clip(Distortion):
    """A recorder that is driven too hard: the largest samples are cut off.

    Attributes:
        share: of the samples that are cut off.
    """

    kind: Literal["clip"]
    share: Annotated[float, Field(gt=0, lt=1)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn."""
        limit = np.quantile(np.abs(wave), 1 - self.share)
        return np.clip(wave, -limit, limit).astype(np.float32)
