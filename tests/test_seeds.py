"""Intervals over trials and trainings: worked by hand, and the properties they must have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp

from mixframe.base.errors import MixframeError
from mixframe.metrics.seeds import two_level

UNITS = 50


def values(seed=0, n=4, shared=0.02, own=0.01, training=0.03, resamples=400):
    """Made-up EERs (runs, 1 + resamples) of trainings with these standard deviations."""
    rng = np.random.default_rng(seed)
    points = 0.2 + rng.normal(0, training, (n, 1))
    moved = rng.normal(0, shared, resamples) + rng.normal(0, own, (n, resamples))
    return np.hstack([points, points + moved])


def test_without_trials_it_is_the_t_test():
    points = np.array([0.10, 0.12, 0.17])
    both = two_level([np.repeat(points[:, None], 11, axis=1)], UNITS)
    assert both.trials == pytest.approx(0, abs=1e-20)
    assert both.freedom == pytest.approx(2)
    plain = ttest_1samp(points, 0)
    assert both.p_value == pytest.approx(plain.pvalue)
    assert both.interval(0.95) == pytest.approx(tuple(plain.confidence_interval(0.95)))


def test_what_trainings_share_is_their_covariance_over_the_trials():
    runs = values(n=3)
    both = two_level([runs], UNITS)
    covariance = np.cov(runs[:, 1:])
    c = covariance[np.triu_indices(3, 1)].mean()
    training = runs[:, 0].var(ddof=1) / 3
    assert (both.trials, both.training) == (pytest.approx(c), pytest.approx(training))
    freedom = (c + training) ** 2 / (training**2 / 2 + c**2 / (UNITS - 1))
    assert both.freedom == pytest.approx(freedom)
    half = t.ppf(0.975, freedom) * np.sqrt(c + training)
    assert both.interval(0.95) == pytest.approx((both.value - half, both.value + half))


def test_two_systems_without_common_seeds_are_compared_as_by_welch():
    first, second = values(seed=1, n=3), values(seed=2, n=5)
    both = two_level([first, -second], UNITS)
    assert both.value == pytest.approx(first[:, 0].mean() - second[:, 0].mean())
    parts = first[:, 0].var(ddof=1) / 3 + second[:, 0].var(ddof=1) / 5
    assert both.training == pytest.approx(parts)
    assert two_level([first, -second[:1]], UNITS) is None


@given(st.integers(0, 1000), st.floats(1.01, 10))
def test_more_variance_between_trainings_widens_the_interval(seed, factor):
    runs = values(seed)
    apart = runs + (factor - 1) * (runs[:, :1] - runs[:, 0].mean())
    narrow, wide = (two_level([part], UNITS).interval(0.95) for part in (runs, apart))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert sum(wide) == pytest.approx(sum(narrow))


@given(st.integers(0, 1000), st.integers(2, 6))
def test_the_order_of_the_trainings_does_not_matter(seed, n):
    runs = values(seed, n)
    one, other = two_level([runs], UNITS), two_level([runs[::-1]], UNITS)
    assert one.interval(0.9) == pytest.approx(other.interval(0.9))


def test_what_cannot_be_known():
    assert two_level([values(n=1)], UNITS) is None
    same = two_level([np.zeros((3, 9))], UNITS)
    assert (same.p_value, same.interval(0.95)) == (1.0, (0.0, 0.0))
    with pytest.raises(MixframeError, match="1 resampled units, expected 2"):
        two_level([values()], 1)
