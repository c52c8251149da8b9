"""Codecs, really run."""

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from mixframe.audio.distortions.coding import CODERS, through
from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform
from mixframe.base.schema import Positive


class Codec(Distortion):
    """Coding and decoding by an encoder of FFmpeg; its delay is taken back.

    Attributes:
        codec: of `mixframe.audio.distortions.coding.CODERS`; those of the telephone are fed at
            8 kHz, so that nothing above 4 kHz is left.
        bit_rate: bit/s. MP3, G.711, G.722, G.726 and AMR have some fixed ones, AAC and Opus take
            any within limits and keep it on average.
    """

    kind: Literal["codec"]
    codec: Literal["mp3", "aac", "opus", "pcm_alaw", "pcm_mulaw", "g722", "adpcm_g726", "amr_nb"]
    bit_rate: Positive

    @model_validator(mode="after")
    def _possible(self) -> Self:
        rates = CODERS[self.codec].bit_rates
        if self.bit_rate not in rates:
            if isinstance(rates, range):
                expected = f"{rates[0]:,} to {rates[-1]:,}"
            else:
                expected = "one of " + ", ".join(str(rate) for rate in rates)
            raise ValueError(f"bit_rate {self.bit_rate}: {self.codec} takes {expected} bit/s")
        return self

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); nothing is drawn.

        Raises:
            MixframeError: this FFmpeg has no such encoder.
        """
        return through(wave, CODERS[self.codec], self.bit_rate).astype(np.float32)
