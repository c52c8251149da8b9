"""Recordings in a folder of the user's."""

from functools import cache
from typing import Any

import numpy as np
import soundfile

from mixframe.audio.io import SAMPLE_RATE, AudioRef
from mixframe.base.errors import MixframeError
from mixframe.base.folders import located

SUFFIXES = (".flac", ".mp3", ".ogg", ".wav")


@cache
def recordings(folder: str) -> tuple[str, ...]:
    """Return the paths of the recordings in a folder and below it, in alphabetical order.

    The folder is looked through once in a process.

    Raises:
        MixframeError: there are none.
    """
    place = located(folder)
    files = (path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(f"{folder}/{path.relative_to(place).as_posix()}" for path in files)
    if not names:
        what = "no recordings in it" if place.is_dir() else "no such folder"
        raise MixframeError(f"{place}: {what}; expected {', '.join(SUFFIXES)} files at 16 kHz")
    return tuple(names)


def draw(folder: str, rng: np.random.Generator) -> tuple[AudioRef, int]:
    """Draw a recording of a folder; returns where it is and how many samples it has.

    Raises:
        MixframeError: the folder has none, or the drawn one is damaged, empty or has another rate.
    """
    names = recordings(folder)
    ref = AudioRef(names[rng.integers(len(names))])
    info = _info(ref)
    if info.samplerate != SAMPLE_RATE:
        raise MixframeError(f"{ref.path}: {info.samplerate:,} Hz; expected {SAMPLE_RATE:,} Hz")
    if info.frames == 0:
        raise MixframeError(f"{ref.path}: audio without samples")
    return ref, info.frames


def need_mono(ref: AudioRef) -> None:
    """Check that a recording has one channel.

    Raises:
        MixframeError: it has more.
    """
    channels = _info(ref).channels
    if channels > 1:
        raise MixframeError(f"{ref.path}: {channels} channels; expected one")


def _info(ref: AudioRef) -> Any:
    try:
        return soundfile.info(str(located(ref.path)))
    except soundfile.LibsndfileError as error:
        raise MixframeError(f"{ref.path}: not decodable: {error}") from error
