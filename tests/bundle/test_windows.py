"""Windows over long recordings, and the timeline put together from them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.bundle.overview import MOST, Overview
from mixframe.bundle.windows import Timeline, cut, regions
from tests.conftest import tone

HOP, FIELD = 4, 6
"""Of the frames of these tests."""


def blocks_of(wave: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(wave, sorted(min(c, wave.size) for c in cuts))


@given(
    n_samples=st.integers(1, 400),
    length=st.integers(8, 60),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
def test_windows_cover_a_recording_however_it_is_read(
    n_samples: int, length: int, cuts: list[int]
) -> None:
    wave = np.arange(n_samples, dtype=np.float32)
    windows = list(cut(blocks_of(wave, cuts), length, HOP))
    whole = list(cut([wave], length, HOP))
    assert [start for start, _ in windows] == [start for start, _ in whole]
    for start, part in windows:
        assert np.array_equal(part, wave[start : start + part.size])
        assert part.size <= length
        assert start % HOP == 0
    starts = [start for start, _ in windows]
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert windows[-1][0] + windows[-1][1].size == n_samples
    if n_samples <= length:
        assert len(windows) == 1
    for (start, part), (following, _) in itertools.pairwise(windows):
        # At least about half of a window lies in the one before it.
        assert start + part.size - following >= length // 2
        assert part.size > length - HOP
    assert len(windows) == 1 or windows[-1][1].size > length - HOP


@given(n_frames=st.integers(1, 60), length=st.integers(16, 40))
def test_logits_that_do_not_depend_on_the_window_come_back_whole(
    n_frames: int, length: int
) -> None:
    n_samples = FIELD + (n_frames - 1) * HOP
    truth = np.random.default_rng(0).standard_normal(n_frames)
    timeline = Timeline(HOP)
    for start, part in cut([np.zeros(n_samples, np.float32)], length, HOP):
        n = (part.size - FIELD) // HOP + 1
        timeline.add(start, truth[start // HOP :][:n])
    assert np.allclose(timeline.logits(), truth)


def test_frames_at_the_ends_of_windows_count_less() -> None:
    timeline = Timeline(HOP)
    timeline.add(0, np.zeros(8))
    timeline.add(4 * HOP, np.ones(8))
    logits = timeline.logits()
    assert np.array_equal(logits[:4], np.zeros(4))
    assert np.array_equal(logits[8:], np.ones(4))
    assert np.allclose(logits[4:8], [0.2, 0.4, 0.6, 0.8])


TIMES = np.stack([np.arange(10) * 0.02 + 0.01, np.arange(10) * 0.02 + 0.03], axis=1)
LOGITS = np.array([3, 1, -1, -1, 2, -1, -1, 2, 4, 3.0])


def test_regions_are_runs_over_the_threshold_that_are_long_enough() -> None:
    assert regions(LOGITS, TIMES, 0, 0, 0.25) == [
        (0.0, pytest.approx(0.05), 2.0),
        (pytest.approx(0.09), pytest.approx(0.11), 2.0),
        (pytest.approx(0.15), 0.25, 3.0),
    ]
    assert [r[2] for r in regions(LOGITS, TIMES, 0, 0.03, 0.25)] == [2.0, 3.0]
    assert [r[:2] for r in regions(LOGITS, TIMES, 3, 0, 0.25)] == [
        (0.0, pytest.approx(0.03)),
        (pytest.approx(0.17), 0.25),
    ]
    assert regions(LOGITS, TIMES, 5, 0, 0.25) == []


def test_a_region_as_long_as_the_shortest_counts() -> None:
    assert len(regions(LOGITS, TIMES, 0, 0.02, 0.25)) == 3


@pytest.mark.parametrize("seconds", [0.02, 1.0, 40.0])
def test_an_overview_is_the_same_however_it_is_read(seconds: float) -> None:
    wave = tone(int(16000 * seconds), 1)
    whole, parts = Overview(), Overview()
    whole.add(wave)
    for part in blocks_of(wave, [7, 500, 501, 15000, 300000]):
        parts.add(part)
    assert whole.seconds == parts.seconds == pytest.approx(seconds)
    assert np.allclose(whole.columns(), parts.columns(), rtol=1e-4)
    assert 0 < len(whole.columns()) <= MOST + 1
    assert whole.columns()[:, 0].min() >= wave.min()


def test_an_overview_shows_where_the_sound_is_and_how_high() -> None:
    time = np.arange(16000) / 16000
    wave = np.where(time < 0.5, 0, np.sin(2 * np.pi * 3000 * time)).astype(np.float32)
    overview = Overview()
    overview.add(wave)
    columns = overview.columns()
    half = len(columns) // 2
    assert columns[: half - 5, 1].max() == 0
    assert columns[half + 5 :, 1].min() > 0.9
    # Bands of 125 Hz.
    assert abs(columns[half + 5 :, 2:].mean(axis=0).argmax() - 3000 / 125) <= 1
