"""RawBoost on signals whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import freqz

from mixframe.audio.augmentations.none import NoAugmentation
from mixframe.audio.augmentations.rawboost import (
    _filtered,
    convolutive,
    impulsive,
    notch_filter,
    stationary,
)
from mixframe.experiment.params import read_preset
from tests.conftest import tone

ROOT = Path(__file__).parents[1]
PUBLISHED = read_preset("asvspoof2019la_fgfm", ROOT).finetune["conformer_fgfm"].augment


def rng(seed=0):
    return np.random.default_rng(seed)


def but(**changes):
    return PUBLISHED.model_copy(update=changes)


def published_filter(wave, response):
    """Sample by sample: tap k weighs the sample (K + 1) / 2 - k later (Tak et al.'s code)."""
    ahead = (len(response) + 1) // 2
    around = np.concatenate([np.zeros(len(response)), wave, np.zeros(len(response))])
    out = np.zeros(len(wave))
    for k, tap in enumerate(response):
        first = len(response) + ahead - k
        out += tap * around[first : first + len(wave)]
    return out


def test_the_notch_is_where_it_was_asked_for():
    params = but(bands=1, centre_hz=[3000.0, 3000.0], width_hz=[1000.0, 1000.0], taps=[99.0, 99.0])
    response = notch_filter(params, [0.0, 0.0], rng())
    hertz, gain = freqz(response, worN=4096, fs=16_000)
    decibel = 20 * np.log10(np.abs(gain))
    assert decibel.max() == pytest.approx(0, abs=0.01)
    assert decibel[np.abs(hertz - 3000) < 100].max() < -40
    assert decibel[np.abs(hertz - 3000) > 1000].min() > -1


def test_the_gain_is_that_of_the_strongest_frequency():
    response = notch_filter(PUBLISHED, [-6.0, -6.0], rng(3))
    assert np.abs(freqz(response)[1]).max() == pytest.approx(10 ** (-6 / 20), rel=1e-6)


@given(snr=st.floats(-5, 40), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_stationary_noise_has_the_drawn_level(snr, seed):
    wave = tone(16_000, seed).astype(np.float64)
    noise = stationary(wave, but(snr_db=[snr, snr]), rng(seed)) - wave
    found = 10 * np.log10((wave**2).sum() / (noise**2).sum())
    assert found == pytest.approx(snr, abs=0.5)


def test_impulses_hit_at_most_their_share_in_proportion_to_the_sample():
    wave = 0.3 * np.ones(10_000)
    changed = impulsive(wave, PUBLISHED, rng(1)) - wave
    share = (changed != 0).mean()
    assert 0 < share <= 0.1
    assert np.abs(changed).max() <= 2.0 * 0.3
    silent = np.zeros(1000)
    assert np.array_equal(impulsive(silent, PUBLISHED, rng()), silent)


def test_convolutive_noise_of_one_power_is_a_filter():
    wave = tone(8000, 1).astype(np.float64)
    params = but(harmonics=1)
    made = convolutive(wave, params, rng(2))
    response = notch_filter(params, [0.0, 0.0], rng(2))
    expected = published_filter(wave, response)
    np.testing.assert_allclose(made, expected - expected.mean(), atol=1e-12)


def test_stationary_noise_is_filtered_noise_scaled():
    wave, generator = tone(3000, 6).astype(np.float64), rng(4)
    white = generator.standard_normal(len(wave))
    noise = published_filter(white, notch_filter(PUBLISHED, PUBLISHED.gain_db, generator))
    snr = generator.uniform(10, 40)
    noise *= np.sqrt((wave**2).sum() / (noise**2).sum()) / 10 ** (snr / 20)
    np.testing.assert_allclose(stationary(wave, PUBLISHED, rng(4)), wave + noise, atol=1e-12)


def test_a_filter_of_one_tap_leaves_the_wave_one_sample_early():
    wave = tone(500, 3).astype(np.float64)
    expected = 0.5 * np.append(wave[1:], 0.0)
    np.testing.assert_allclose(_filtered(wave, np.array([0.5])), expected, atol=1e-12)


def test_higher_powers_are_quieter_by_the_drop():
    wave = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
    params = but(harmonics=2, harmonic_drop_db=[40.0, 40.0], centre_hz=[7000.0, 7500.0])
    spectrum = np.abs(np.fft.rfft(convolutive(wave, params, rng(5)) * np.hanning(16_000)))
    # The square of a sine at 500 Hz lies at 1,000 Hz, 6 dB below it.
    ratio = 20 * np.log10(spectrum[1000] / spectrum[500])
    assert ratio == pytest.approx(-46, abs=4)


@pytest.mark.parametrize("algorithm", range(1, 9))
def test_every_algorithm_is_seeded_and_keeps_length_and_range(algorithm):
    wave, params = tone(16_000, 4, loud=0.9), but(algorithm=algorithm)
    made = params.apply(wave, rng(7))
    assert made.dtype == np.float32
    assert made.shape == wave.shape
    assert np.isfinite(made).all()
    assert not np.array_equal(made, wave)
    assert np.array_equal(made, params.apply(wave, rng(7)))
    assert not np.array_equal(made, params.apply(wave, rng(8)))


@pytest.mark.parametrize(
    ("algorithm", "steps"),
    [
        (3, [stationary]),
        (4, [convolutive, impulsive, stationary]),
        (5, [convolutive, impulsive]),
        (6, [convolutive, stationary]),
        (7, [impulsive, stationary]),
    ],
)
def test_an_algorithm_is_its_steps_one_after_another(algorithm, steps):
    wave, generator = tone(4000, 2), rng(9)
    expected = wave.astype(np.float64)
    for step in steps:
        expected = step(expected, PUBLISHED, generator)
    made = but(algorithm=algorithm).apply(wave, rng(9))
    np.testing.assert_array_equal(made, expected.astype(np.float32))


def test_no_augmentation_is_the_wave_itself():
    wave = tone(100, 0)
    assert NoAugmentation(kind="none").apply(wave, rng()) is wave
