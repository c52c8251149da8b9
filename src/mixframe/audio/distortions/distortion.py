"""What every distortion is."""

from typing import Annotated

import numpy as np
from pydantic import Field

from mixframe.audio.io import Waveform
from mixframe.base.schema import Section

LONGEST_MS = 60_000
"""Of a duration that a distortion adds or works in; what is longer would fill the memory."""

Milliseconds = Annotated[float, Field(ge=0, le=LONGEST_MS)]


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
