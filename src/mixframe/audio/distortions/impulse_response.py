"""Reverberation by measured impulse responses."""

from typing import Literal

import numpy as np

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.recordings import draw, need_mono
from mixframe.audio.distortions.signal import reverberate
from mixframe.audio.io import Waveform, read


class ImpulseResponse(Distortion):
    """A room, a telephone or a loudspeaker: convolution with an impulse response of a folder.

    The strongest tap's delay is taken back, and the power is that of the utterance before.

    Attributes:
        folder: mono recordings at 16 kHz, in it or below it; `data/...` is below the data root.
    """

    kind: Literal["impulse_response"]
    folder: str

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); the file is drawn.

        Raises:
            MixframeError: the folder has no recordings, or the drawn one another rate or several
                channels.
        """
        ref, _ = draw(self.folder, rng)
        need_mono(ref)
        return reverberate(wave, read(ref)).astype(np.float32)
