"""Trivial statistics: hand-worked values, and the EER of what does and does not separate."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixframe.audio.io import encode_flac, tar_writer
from mixframe.corpora.shortcuts import shortcuts, statistics

RATE = 16_000


def sine(hertz: float, seconds: float, height: float = 0.5) -> np.ndarray:
    return (height * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def test_statistics_of_a_sine_between_silences() -> None:
    wave = np.concatenate((np.zeros(3200), sine(1000, 1.0), np.zeros(1600))).astype(np.float32)
    found = statistics(wave)
    assert found["duration_s"] == pytest.approx(1.3)
    assert found["leading_s"] == pytest.approx(0.2)
    assert found["trailing_s"] == pytest.approx(0.1)
    assert found["peak_db"] == pytest.approx(-6.02, abs=0.01)
    assert found["rms_db"] == pytest.approx(-6.02 - 3.01 - 10 * np.log10(1.3), abs=0.01)
    assert found["crest_db"] == pytest.approx(3.01 + 10 * np.log10(1.3), abs=0.01)
    assert found["dc"] == pytest.approx(0, abs=1e-4)
    assert found["high_band_db"] < -30
    assert found["zero_crossings"] == pytest.approx(2000 / 20_800, rel=0.01)


def test_energy_above_7_khz_is_a_share() -> None:
    wave = sine(1000, 1.0) + sine(7500, 1.0)
    assert statistics(wave)["high_band_db"] == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("wave", [np.zeros(700), np.ones(1)])
def test_statistics_of_silence_and_of_one_sample_are_finite(wave: np.ndarray) -> None:
    assert np.isfinite(list(statistics(wave.astype(np.float32)).values())).all()


def test_a_louder_class_separates_and_equal_classes_do_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    with tar_writer(tmp_path / "audio.tar") as audio:
        for i in range(40):
            loud = "loud" if i < 20 else "same"
            label = "spoof" if i % 2 else "bonafide"
            height = 0.2 if loud == "loud" and label == "spoof" else 0.02
            wave = height * rng.uniform(0.9, 1.1) * rng.standard_normal(RATE // 2)
            ref = audio.add(f"{i}.flac", encode_flac(wave))
            rows.append((loud, label, ref.path, ref.offset, ref.n_bytes))
    table = pd.DataFrame(rows, columns=["set", "label", "path", "offset", "n_bytes"])
    found = shortcuts(table).set_index(["set", "statistic"])["eer"]
    assert found["loud", "rms_db"] == 0
    assert found["loud", "peak_db"] == 0
    assert found["loud", "duration_s"] == 0.5
    assert found["same", "rms_db"] > 0.15
    assert found.between(0, 0.5).all()
