"""Every splice pattern keeps its limits, for every utterance length from one frame up."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.splicing.patterns import PATTERNS, Limits

limits = st.builds(
    lambda n, k, shortest, extra, ratio: Limits(n, k, shortest, shortest + extra, ratio),
    st.integers(0, 300),
    st.integers(1, 6),
    st.integers(1, 20),
    st.integers(0, 40),
    st.floats(0.01, 1.0),
)


@pytest.mark.parametrize("name", PATTERNS)
@given(limits=limits, seed=st.integers(0, 2**32))
def test_regions_keep_every_limit(name, limits, seed):
    regions = PATTERNS[name](random.Random(seed), limits)
    assert regions == PATTERNS[name](random.Random(seed), limits)
    ends = [0] + [end for _, end in regions]
    for (start, end), previous in zip(regions, ends, strict=False):
        assert 0 <= previous <= start
        assert limits.min_frames <= end - start <= limits.max_frames
        assert end <= limits.n_frames
    for (_, end), (start, _) in itertools.pairwise(regions):
        assert end < start, "regions must not touch"
    assert sum(e - s for s, e in regions) <= limits.budget
    if name != "periodic":
        assert len(regions) <= limits.max_regions


def drawn(name, limits, n=300):
    return [PATTERNS[name](random.Random(seed), limits) for seed in range(n)]


def test_regions_draws_every_count_and_length():
    all_regions = drawn("regions", Limits(200, 3, 2, 5, 1.0))
    assert {len(r) for r in all_regions} == {1, 2, 3}
    assert {e - s for r in all_regions for s, e in r} == {2, 3, 4, 5}
    starts = [s for r in all_regions for s, _ in r]
    assert all(any(at <= s < at + 20 for s in starts) for at in range(0, 190, 20))


def test_short_takes_as_many_as_allowed_and_long_takes_one():
    wide = Limits(200, 4, 2, 10, 1.0)
    assert all(len(r) == 4 and max(e - s for s, e in r) <= 6 for r in drawn("short", wide))
    assert all(len(r) == 1 and r[0][1] - r[0][0] >= 6 for r in drawn("long", wide))


def test_periodic_has_one_period_over_the_whole_utterance():
    for regions in drawn("periodic", Limits(200, 1, 5, 5, 0.5)):
        starts = [s for s, _ in regions]
        assert len(regions) > 10
        assert {b - a for a, b in itertools.pairwise(starts)} == {10}


def test_boundary_uses_the_shortest_length():
    for regions in drawn("boundary", Limits(100, 3, 2, 50, 1.0)):
        assert regions
        assert all(e - s == 2 for s, e in regions)
