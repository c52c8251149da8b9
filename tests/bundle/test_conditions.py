"""Warnings about recordings: each comes where its cause is, and none without."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from mixframe.audio.io import resample
from mixframe.bundle import measures
from mixframe.bundle.conditions import Conditions
from mixframe.bundle.contents import Spread, TrainedOn

TRAINED = TrainedOn(
    preset="tiny",
    corpora=["tiny"],
    base_model="",
    utterances=10,
    attacks=["A1"],
    level_db=Spread(low=-30, median=-27, high=-24),
    bandwidth_hz=Spread(low=7000, median=8000, high=8000),
)


def speech(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise with the spectrum of speech and its syllables, at -27 dB: (n,) float32."""
    rng = np.random.default_rng(seed)
    n = int(16000 * seconds)
    white = rng.standard_normal(n)
    low = sosfilt(butter(1, 800, fs=16000, output="sos"), white)
    syllables = np.clip(np.sin(2 * np.pi * 4 * np.arange(n) / 16000), 0.02, 1)
    wave = (low + 0.05 * white) * syllables
    return (wave * 10 ** (-27 / 20) / np.sqrt(np.mean(wave**2))).astype(np.float32)


def warned(wave: np.ndarray, rate: int = 16000, lost: int = 0, trained=TRAINED) -> list[str]:
    conditions = Conditions()
    for part in np.array_split(wave.astype(np.float32), 3):
        conditions.add(part)
    return [w.name for w in conditions.warnings(trained, rate, lost)]


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_speech_gets_no_warning(seed: int) -> None:
    assert warned(speech(seed=seed)) == []


def telephone(wave: np.ndarray) -> np.ndarray:
    band = butter(8, [300, 3400], "band", fs=16000, output="sos")
    return np.rint(sosfilt(band, wave) * 32768) / 32768


CASES = {
    "short": speech(0.4),
    "silence": 1e-5 * speech(),
    "clipped": np.clip(20 * speech(), -1, 1) / 3,
    "narrowband": telephone(speech()),
    "level": speech() / 30,
    "bandwidth": sosfilt(butter(8, 5000, fs=16000, output="sos"), speech()),
}


@pytest.mark.parametrize("name", CASES)
def test_each_condition_has_its_warning(name: str) -> None:
    assert name in warned(CASES[name])


def test_nothing_else_is_warned_of_but_what_follows() -> None:
    assert warned(CASES["short"]) == ["short"]
    assert warned(CASES["silence"]) == ["silence"]
    assert warned(CASES["level"]) == ["level"]
    assert warned(CASES["bandwidth"]) == ["bandwidth"]
    assert warned(CASES["narrowband"]) == ["narrowband", "bandwidth"]


def test_full_scale_is_clipping_even_for_a_part() -> None:
    wave = speech()
    wave[1000:1100] = 1.0
    assert "clipped" in warned(wave)
    assert "clipped" not in warned(0.2 * wave)


def test_silence_around_a_word_is_silence_and_pauses_are_not() -> None:
    pad = np.zeros(20 * 16000, np.float32)
    assert "silence" in warned(np.concatenate([pad, speech(1.0)]))
    assert "silence" not in warned(np.concatenate([speech(2.0), np.zeros(48000), speech(2.0)]))


def test_digital_silence_is_nothing_but_silence() -> None:
    assert warned(np.zeros(32000)) == ["silence"]
    assert warned(np.zeros(100)) == ["short", "silence"]


def test_other_rates_and_lost_packets_are_named() -> None:
    heard = resample(speech()[::2], 8000)
    assert "upsampled" in warned(heard, rate=8000)
    assert warned(speech(), rate=48000) == []
    assert warned(speech(), lost=2) == ["damaged"]


def test_material_that_was_not_measured_leaves_a_wide_limit() -> None:
    unknown = TRAINED.model_copy(update={"level_db": None, "bandwidth_hz": None})
    assert warned(speech(), trained=unknown) == []
    assert warned(CASES["bandwidth"], trained=unknown) == []
    assert warned(CASES["level"], trained=unknown) == ["level"]


@pytest.mark.parametrize("n_samples", [600, 5000, 48000])
def test_block_by_block_is_measured_what_is_measured_whole(n_samples: int) -> None:
    wave = telephone(speech())[:n_samples].astype(np.float32)
    conditions = Conditions()
    for part in np.array_split(wave, 4):
        conditions.add(part)
    hertz = measures.highest_band(np.fft.rfftfreq(measures.WINDOW, 1 / 16000), conditions._power)
    assert hertz == measures.bandwidth_hz(wave)
    level = 10 * np.log10(conditions.energy / conditions.samples)
    assert level == pytest.approx(measures.level_db(wave))
