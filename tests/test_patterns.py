"""Every splice pattern keeps its limits, for every utterance length from one frame up."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.audio.splicing.patterns import PATTERNS


def limits(n_regions, shortest, longest, ratio):
    return {
        "max_regions": n_regions,
        "min_frames": shortest,
        "max_frames": longest,
        "max_ratio": ratio,
    }


ANY_LIMITS = st.builds(
    lambda k, shortest, extra, ratio: limits(k, shortest, shortest + extra, ratio),
    st.integers(1, 6),
    st.integers(1, 20),
    st.integers(0, 40),
    st.floats(0.01, 1.0),
)


@pytest.mark.parametrize("name", PATTERNS)
@given(n_frames=st.integers(0, 300), wanted=ANY_LIMITS, seed=st.integers(0, 2**32))
def test_regions_keep_every_limit(name, n_frames, wanted, seed):
    pattern = PATTERNS[name](name=name, **wanted)
    regions = pattern.draw(random.Random(seed), n_frames)
    assert regions == pattern.draw(random.Random(seed), n_frames)
    ends = [0] + [end for _, end in regions]
    for (start, end), previous in zip(regions, ends, strict=False):
        assert 0 <= previous <= start
        assert pattern.min_frames <= end - start <= pattern.max_frames
        assert end <= n_frames
    for (_, end), (start, _) in itertools.pairwise(regions):
        assert end < start, "regions must not touch"
    assert sum(e - s for s, e in regions) <= int(n_frames * pattern.max_ratio)
    if name != "periodic":
        assert len(regions) <= pattern.max_regions


def drawn(name, n_frames, wanted, n=300):
    pattern = PATTERNS[name](name=name, **wanted)
    return [pattern.draw(random.Random(seed), n_frames) for seed in range(n)]


def test_regions_draws_every_count_and_length():
    all_regions = drawn("regions", 200, limits(3, 2, 5, 1.0))
    assert {len(r) for r in all_regions} == {1, 2, 3}
    assert {e - s for r in all_regions for s, e in r} == {2, 3, 4, 5}
    starts = [s for r in all_regions for s, _ in r]
    assert all(any(at <= s < at + 20 for s in starts) for at in range(0, 190, 20))


def test_short_takes_as_many_as_allowed_and_long_takes_one():
    wide = limits(4, 2, 10, 1.0)
    assert all(len(r) == 4 and max(e - s for s, e in r) <= 6 for r in drawn("short", 200, wide))
    assert all(len(r) == 1 and r[0][1] - r[0][0] >= 6 for r in drawn("long", 200, wide))


def test_periodic_has_one_period_over_the_whole_utterance():
    for regions in drawn("periodic", 200, limits(1, 5, 5, 0.5)):
        starts = [s for s, _ in regions]
        assert len(regions) > 10
        assert {b - a for a, b in itertools.pairwise(starts)} == {10}


def test_side_has_one_transition_and_either_side():
    sides = drawn("side", 100, limits(3, 10, 50, 0.5))
    assert all(len(r) == 1 and (r[0][0] == 0) != (r[0][1] == 100) for r in sides)
    assert 100 < sum(r[0][0] == 0 for r in sides) < 200
    assert {e - s for [(s, e)] in sides} == set(range(10, 51))


def test_boundary_uses_the_shortest_length():
    for regions in drawn("boundary", 100, limits(3, 2, 50, 1.0)):
        assert regions
        assert all(e - s == 2 for s, e in regions)
