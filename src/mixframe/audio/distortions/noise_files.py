"""Recorded noise at a signal-to-noise ratio."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.noise import Snr
from mixframe.audio.distortions.recordings import draw
from mixframe.audio.distortions.signal import Samples, at_power, with_noise
from mixframe.audio.io import Waveform, read


class NoiseFiles(Distortion):
    """Noise from a folder: MUSAN's (`musan/noise`, `musan/music`), or any other.

    Attributes:
        folder: recordings at 16 kHz, in it or below it; `data/...` is below the data root.
        files: how many are drawn and added at equal power; several of speech are babble.
        snr_db: of the powers of signal and noise over the whole utterance; silence stays silent.
    """

    kind: Literal["noise_files"]
    folder: str
    files: Annotated[int, Field(ge=1, le=100)]
    snr_db: Snr

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); files, and where in them the noise starts, are drawn.

        Raises:
            MixframeError: the folder has no recordings, or a drawn one has another rate.
        """
        noise = np.zeros(wave.size)
        for _ in range(self.files):
            noise += at_power(self._part(wave.size, rng), 1.0)
        return with_noise(wave, noise, self.snr_db).astype(np.float32)

    def _part(self, n_samples: int, rng: np.random.Generator) -> Samples:
        """Draw (n_samples,) of a file, which starts over at its end."""
        ref, frames = draw(self.folder, rng)
        if frames >= n_samples:
            return read(ref, int(rng.integers(frames - n_samples + 1)), n_samples)
        return np.resize(np.roll(read(ref), int(rng.integers(frames))), n_samples)
