"""The Arena's metrics against its definitions, written out threshold by threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics import arena

# Of few values, so that there are ties within and across the classes.
SCORES = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=12)


def by_hand(bonafide, spoof):
    """EER in percent and threshold, as the Arena's documentation defines them."""
    thresholds = sorted({*bonafide, *spoof})
    far = [sum(score >= t for score in spoof) / len(spoof) for t in thresholds]
    frr = [sum(score < t for score in bonafide) / len(bonafide) for t in thresholds]
    gap = [a - r for a, r in zip(far, frr, strict=True)]
    for i in range(len(gap) - 1):
        if np.sign(gap[i]) != np.sign(gap[i + 1]):
            a = gap[i] / (gap[i] - gap[i + 1])
            far_at = far[i] + a * (far[i + 1] - far[i])
            frr_at = frr[i] + a * (frr[i + 1] - frr[i])
            t = thresholds[i] + a * (thresholds[i + 1] - thresholds[i])
            return 100 * (far_at + frr_at) / 2, t
    i = min(range(len(gap)), key=lambda j: abs(gap[j]))
    return 100 * (far[i] + frr[i]) / 2, thresholds[i]


@settings(max_examples=300, deadline=None)
@given(SCORES, SCORES)
def test_the_eer_is_the_documented_one(bonafide, spoof):
    assert arena.eer(bonafide, spoof) == pytest.approx(by_hand(bonafide, spoof), abs=1e-9)


@pytest.mark.parametrize(
    ("bonafide", "spoof", "expected"),
    [
        # Both rates are 1/2 at the score 2; at 1 they are 1/2 and 0, a sign of its own.
        ([1.0, 3.0], [0.0, 2.0], (50.0, 2.0)),
        # Rates cross between two scores.
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.5, 2.5], (100 / 3, 5 / 3)),
        # One class above the other; a swapped sign; scores that say nothing.
        ([2.0, 3.0], [0.0, 1.0], (0.0, 2.0)),
        ([0.0], [1.0], (100.0, 1.0)),
        ([5.0], [5.0], (50.0, 5.0)),
    ],
)
def test_cases_by_hand(bonafide, spoof, expected):
    assert arena.eer(bonafide, spoof) == pytest.approx(expected)


def test_spoofs_at_the_threshold_pass():
    assert arena.srr_complement([0.0, 1.0, 2.0, 3.0], 2.0) == 50
    assert arena.srr_complement([0.0], 2.0) == 0
    for scores, threshold in (([], 0.0), ([np.nan], 0.0), ([0.0], np.inf)):
        with pytest.raises(MixframeError):
            arena.srr_complement(scores, threshold)
