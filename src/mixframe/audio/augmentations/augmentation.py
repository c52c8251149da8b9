"""What every augmentation is."""

import numpy as np

from mixframe.audio.io import Waveform
from mixframe.base.schema import Section


class Augmentation(Section):
    """A section of a preset that changes waveforms."""

    kind: str

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) float32 samples to (n,) float32; equal generators give equal samples."""
        raise NotImplementedError
