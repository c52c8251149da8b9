"""WORLD analysis and synthesis as several attacks use it (Morise et al., 2016; `pyworld`)."""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.schema import Section
from mixframe.corpora.demo.attacks.context import VoiceStatistics, Wave, fit_length
from mixframe.corpora.demo.attacks.packages import need


class Analysis(Section):
    """How WORLD looks at speech.

    Attributes:
        f0_method: dio (with StoneMask) or harvest, which is better and some 40 times slower.
        f0_floor_hz: lowest F0.
        f0_ceil_hz: highest F0.
        frame_ms: time between analysis frames.
    """

    f0_method: Literal["dio", "harvest"]
    f0_floor_hz: float
    f0_ceil_hz: float
    frame_ms: float


class Conversion(Analysis):
    """`Analysis` of an attack that converts speech to another voice.

    Attributes:
        statistics_pieces: utterances of a target voice that its statistics are taken from.
    """

    statistics_pieces: int


class Features(NamedTuple):
    """WORLD features.

    Attributes:
        f0: (frames,) Hz; 0 where unvoiced.
        envelope: (frames, bins) power.
        aperiodicity: (frames, bins) share of noise, 0 to 1.
    """

    f0: Wave
    envelope: Wave
    aperiodicity: Wave


def pyworld() -> Any:
    """Import pyworld, which warns on import that it uses an old way to find its own version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return need("pyworld")


def f0_track(wave: Wave, params: Analysis) -> tuple[Wave, Wave]:
    """Return F0 in Hz (0 where unvoiced) and the time in seconds of each frame, both (frames,)."""
    world = pyworld()
    limits = {
        "f0_floor": params.f0_floor_hz,
        "f0_ceil": params.f0_ceil_hz,
        "frame_period": params.frame_ms,
    }
    if params.f0_method == "harvest":
        f0, times = world.harvest(wave, SAMPLE_RATE, **limits)
    else:
        rough, times = world.dio(wave, SAMPLE_RATE, **limits)
        f0 = world.stonemask(wave, rough, times, SAMPLE_RATE)
    return f0, times


def analyse(wave: Wave, params: Analysis) -> Features:
    """Return the WORLD features of (n,) speech at 16 kHz (CheapTrick and D4C)."""
    world = pyworld()
    f0, times = f0_track(wave, params)
    envelope = world.cheaptrick(wave, f0, times, SAMPLE_RATE)
    return Features(f0, envelope, world.d4c(wave, f0, times, SAMPLE_RATE))


def render(features: Features, params: Analysis, n_samples: int) -> Wave:
    """Synthesise (n_samples,) speech from WORLD features."""
    wave = pyworld().synthesize(*features, SAMPLE_RATE, params.frame_ms)
    return fit_length(wave, n_samples)


def voice_statistics(voice: str, waves: list[Wave], params: Analysis) -> VoiceStatistics:
    """Average the voiced frames of some utterances of a voice.

    Without a voiced frame, all frames count for the envelope and F0 is taken as the geometric
    mean of its limits, so that noise alone still has statistics.
    """
    world = pyworld()
    log_f0: list[Wave] = []
    voiced: list[Wave] = []
    unvoiced: list[Wave] = []
    for wave in waves:
        f0, times = f0_track(wave, params)
        logs = np.log(world.cheaptrick(wave, f0, times, SAMPLE_RATE))
        log_f0.append(np.log(f0[f0 > 0]))
        voiced.append(logs[f0 > 0])
        unvoiced.append(logs[f0 <= 0])
    pitch = np.concatenate(log_f0)
    if pitch.size == 0:
        middle = np.log(params.f0_floor_hz * params.f0_ceil_hz) / 2
        return VoiceStatistics(voice, float(middle), 0.0, np.concatenate(unvoiced).mean(axis=0))
    envelope = np.concatenate(voiced).mean(axis=0)
    return VoiceStatistics(voice, float(pitch.mean()), float(pitch.std()), envelope)
