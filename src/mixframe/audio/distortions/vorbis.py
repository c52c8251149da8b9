"""Vorbis, really run."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.coding import VORBIS, through
from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform


class Vorbis(Distortion):
    """Coding and decoding by FFmpeg's own encoder of Vorbis.

    Attributes:
        quality: what the encoder has instead of a bit rate; speech takes some 15 kbit/s at 1 and
            45 kbit/s at 5.
    """

    kind: Literal["vorbis"]
    quality: Annotated[float, Field(ge=0.5, le=10)]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn.

        Raises:
            MixframeError: this FFmpeg has no such encoder.
        """
        # FFmpeg's FF_QP2LAMBDA is 118.
        return through(
            wave, VORBIS, options={"global_quality": str(round(118 * self.quality))}
        ).astype(np.float32)
