"""Affine calibration: closed form, the properties of a minimum, and what it must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics import calibration, detection

COSTS = detection.DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10)


def test_gaussian_scores_have_a_closed_form():
    # N(2, 1) against N(0, 1): the log-likelihood ratio of x is 2 x - 2.
    rng = np.random.default_rng(0)
    n = 100_000
    fitted = calibration.fit(rng.normal(2, 1, n), rng.normal(0, 1, n))
    assert fitted is not None
    assert fitted.slope == pytest.approx(2, abs=0.05)
    assert fitted.offset == pytest.approx(-2, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    sizes=st.tuples(st.integers(20, 60), st.integers(20, 200)),
)
def test_the_unit_of_the_scores_does_not_matter_and_no_neighbour_is_better(
    seed, scale, shift, sizes
):
    rng = np.random.default_rng(seed)
    bonafide, spoof = rng.normal(1, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    plain = calibration.fit(bonafide, spoof)
    other = calibration.fit(scale * bonafide + shift, scale * spoof + shift)
    assert plain is not None
    assert other is not None
    assert np.allclose(other(scale * bonafide + shift), plain(bonafide), atol=1e-5)
    lowest = detection.cllr(plain(bonafide), plain(spoof))
    for slope, offset in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        moved = calibration.Affine(plain.slope + slope, plain.offset + offset)
        assert detection.cllr(moved(bonafide), moved(spoof)) >= lowest
    assert lowest <= min(1.0, detection.cllr(bonafide, spoof)) + 1e-12
    assert detection.eer(plain(bonafide), plain(spoof)) == detection.eer(bonafide, spoof)
    best = detection.min_dcf(bonafide, spoof, COSTS)
    assert detection.act_dcf(plain(bonafide), plain(spoof), COSTS) >= best - 1e-12


def test_a_swapped_sign_gives_a_negative_slope():
    rng = np.random.default_rng(1)
    fitted = calibration.fit(-rng.normal(1, 1, 200), -rng.normal(0, 1, 200))
    assert fitted is not None
    assert fitted.slope < 0


@pytest.mark.parametrize("order", [1, -1])
def test_separated_classes_have_no_calibration(order):
    assert calibration.fit([order * 2.0, order * 3.0], [order * 1.0, order * 2.0]) is None


def test_constant_scores_say_nothing():
    fitted = calibration.fit([1.0, 1.0], [1.0])
    assert fitted == calibration.Affine(0.0, 0.0)


def test_bad_scores_are_refused_by_name():
    with pytest.raises(MixframeError, match="spoof scores: 1 NaN"):
        calibration.fit([1.0], [np.nan])
