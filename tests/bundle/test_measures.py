"""Level and bandwidth of recordings."""

import numpy as np
import pytest

from mixframe.audio.io import resample
from mixframe.bundle.measures import bandwidth_hz, level_db


def noise(n_samples=16_000):
    return np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)


def test_level_is_the_rms_of_full_scale():
    assert level_db(np.ones(100, dtype=np.float32)) == pytest.approx(0)
    assert level_db(noise()) == pytest.approx(-20, abs=0.1)
    assert level_db(0.1 * noise()) == pytest.approx(level_db(noise()) - 20, abs=1e-3)
    assert level_db(np.zeros(100, dtype=np.float32)) == pytest.approx(-120)


@pytest.mark.parametrize(("rate", "least", "most"), [(8000, 4000, 6500), (4000, 2000, 3500)])
def test_what_was_sampled_at_a_lower_rate_has_less_bandwidth(rate, least, most):
    assert least < bandwidth_hz(resample(noise(), rate)) < most


def test_bandwidth_of_the_whole_band_and_of_nothing():
    assert bandwidth_hz(noise()) == 8000
    assert bandwidth_hz(0.001 * noise()) == 8000
    assert bandwidth_hz(np.zeros(1000, dtype=np.float32)) == 0
    assert bandwidth_hz(noise(100)) > 7000
