"""A recording distorted into a file."""

from pathlib import Path

import numpy as np
import soundfile

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.audio.stream import read_whole
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, need_file

FORMATS = {".flac": "FLAC", ".wav": "WAV"}
"""libsndfile's names by the suffix of a file."""


def distort_file(source: Path, target: Path, distortion: Distortion, seed: int) -> tuple[int, int]:
    """Distort a recording and write the result as 16-bit mono FLAC or WAV at 16 kHz.

    Args:
        source: anything that `mixframe.audio.stream` decodes; channels are averaged.
        target: written whole or not at all; its suffix says the format. What exceeds full scale is
            clipped.
        seed: of what is drawn.

    Returns:
        how many samples at 16 kHz went in and came out.

    Raises:
        MixframeError: another suffix, `target` is `source`, `source` is missing or unreadable, or
            what the distortion says.
    """
    _format(target)
    if target.exists() and target.samefile(need_file(source)):
        raise MixframeError(f"{target}: is the recording itself; expected another name")
    wave = read_whole(need_file(source), str(source))
    made = distortion.apply(wave, np.random.default_rng(seed))
    write_wave(target, made)
    return wave.size, made.size


def write_wave(target: Path, wave: Waveform) -> None:
    """Write (n,) samples as 16-bit mono FLAC or WAV at 16 kHz, clipped at full scale.

    Raises:
        MixframeError: the suffix of `target` is another one.
    """
    pcm = (as_written(wave) * 32768.0).astype(np.int16)
    with atomic_path(target) as temporary:
        soundfile.write(temporary, pcm, SAMPLE_RATE, format=_format(target), subtype="PCM_16")


def as_written(wave: Waveform) -> Waveform:
    """Return (n,) float32 samples as a file of 16 bits gives them back."""
    return (np.clip(np.rint(wave * 32768.0), -32768, 32767) / 32768.0).astype(np.float32)


def _format(target: Path) -> str:
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise MixframeError(f"{target}: expected a name that ends in {' or '.join(FORMATS)}")
    return kind
