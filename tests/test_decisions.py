"""Frames that count as spliced in: what is chosen on held-out splices, and by what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.metrics import calibration, decisions
from mixframe.metrics.decisions import SHORTEST, WIDTHS, smoothed

FRAMES = 100


def utterance(start: int = 0, end: int = 0) -> np.ndarray:
    """Return labels with one region, or with none."""
    return (np.arange(FRAMES) >= start) & (np.arange(FRAMES) < end)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.sampled_from(WIDTHS))
def test_smoothing_is_the_running_median(values: list[float], width: int) -> None:
    half = width // 2
    padded = np.pad(values, half, mode="edge")
    expected = [np.median(padded[i : i + width]) for i in range(len(values))]
    assert np.array_equal(smoothed(values, width), expected)


def fitted(
    labels: list[np.ndarray], logits: list[np.ndarray], prior: float, min_iou: float = 0.5
) -> tuple[int, int]:
    """Return median and shortest run; without calibration, logits above 0 count."""
    decision = decisions.fit(labels, logits, 0.0, prior, min_iou)
    return decision.smooth, decision.shortest


def told(labels: list[np.ndarray]) -> list[np.ndarray]:
    """Return logits that are right about every frame."""
    return [np.where(one, 3.0, -3.0) for one in labels]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No calibration."""
    monkeypatch.setattr(calibration, "fit", lambda bonafide, spoof: None)


def test_perfect_logits_are_left_as_they_are() -> None:
    labels = [utterance(10, 14), utterance()]
    decision = decisions.fit(labels, told(labels), 0.0, 0.05, 0.5)
    assert decision == decisions.Decision(WIDTHS[0], SHORTEST[0], None)


@pytest.mark.usefixtures("plain")
def test_gaps_ask_for_a_median_and_blips_for_a_shortest_run() -> None:
    labels = [utterance(20, 60)] * 3
    logits = told(labels)
    for one in logits:
        one[[30, 40, 50]] = -3
    assert fitted(labels, logits, 0.05, 0.9) == (5, 1)
    logits = told(labels)
    for one in logits:
        one[80:87] = 3
    assert fitted(labels, logits, 0.05, 0.9) == (1, 8)


@pytest.mark.usefixtures("plain")
def test_clean_utterances_count_as_the_prior_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Runs of 8 frames and more leave out the alarm in the last utterance and two true regions.
    labels = [utterance(20, 26), utterance(40, 46), utterance(20, 60), utterance()]
    logits = told(labels)
    logits[-1][50:57] = 3
    monkeypatch.setattr(decisions, "WIDTHS", (1,))
    assert fitted(labels, logits, 0.2) == (1, 1)
    assert fitted(labels, logits, 0.02) == (1, 8)


def test_the_calibration_is_that_of_the_smoothed_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = [utterance(20, 60), utterance()]
    logits = [np.where(one, 1.0, -1.0) + 2 * rng.standard_normal(FRAMES) for one in labels]
    monkeypatch.setattr(decisions, "WIDTHS", (9,))
    values = np.concatenate([smoothed(one, 9) for one in logits])
    injected = np.concatenate(labels)
    expected = calibration.fit(values[injected], values[~injected])
    assert decisions.fit(labels, logits, 0.0, 0.05, 0.5).calibration == expected


def test_a_rarer_class_needs_more_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    # At even odds an alarm of 7 frames counts, unless runs have to be longer.
    labels = [utterance(20, 60)]
    logits = told(labels)
    logits[0][20:24], logits[0][80:87] = -3.0, 0.5
    monkeypatch.setattr(decisions, "WIDTHS", (1,))
    assert fitted(labels, logits, 0.5) == (1, 8)
    assert fitted(labels, logits, 0.05) == (1, 1)
    assert decisions.cut(0.5) == 0
    assert decisions.cut(0.05) == pytest.approx(np.log(19))
