"""What every distortion is."""

import numpy as np

from mixframe.audio.io import Waveform
from mixframe.base.schema import Section


class Distortion(Section):
    """A section that changes utterances: a kind and its strength."""

    kind: str

    @property
    def keeps_length(self) -> bool:
        """Whether as many samples come out as go in, each at its place."""
        return True

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) float32 samples at 16 kHz, n > 0, to (m,) float32; m = n if `keeps_length`.

        All that is random comes from the generator: equal generators give equal samples. What
        exceeds full scale stays so.
        """
        raise NotImplementedError
