"""How well localisers say where speech is spoofed: by duration, by segment, over trainings."""

import numpy as np
import pandas as pd
import pytest

from mixframe.audio.frames import FrameGrid
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts
from mixframe.metrics.localisation import weighted_eer
from mixframe.stages.evaluate_regions import region_figures

GRID = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
SIZE = 16_000 + 80
"""Samples of each utterance: 50 frames, the last of them of 400 samples."""
RESOLUTIONS = [0.02, 0.16, 0.64]


def how(unit="trial", resamples=50):
    return Settings(DcfCosts(0.05, 1.0, 10.0), unit, resamples, 0.95, 1)


@pytest.fixture
def rows():
    """Bona fide utterances, partly spoofed ones, and one that is spoofed from end to end."""
    labels = ["bonafide"] * 4 + ["spoof"] * 5
    regions = [[]] * 4 + [[3200 * i, 3200 * i + 4000] for i in range(4)] + [[]]
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(9)],
            "label": labels,
            "speaker": [f"s{i % 3}" for i in range(9)],
            "prompt": "p",
            "samples": SIZE,
            "regions": regions,
        }
    )


def spoofed(rows):
    """Return for each utterance which of its samples are spoofed."""
    masks = []
    for row in rows.itertuples():
        mask = np.zeros(SIZE, dtype=bool)
        for start, end in np.reshape(row.regions, (-1, 2)).astype(int):
            mask[start:end] = True
        masks.append(mask | (row.label == "spoof" and not row.regions))
    return masks


def frames_of(rows, seed, noise):
    rng = np.random.default_rng(seed)
    scores = []
    for mask in spoofed(rows):
        spoof = np.array([mask[320 * t : 320 * t + 320].mean() for t in range(50)])
        scores.append((noise * rng.normal(size=50) - spoof).astype(np.float32))
    return pd.DataFrame({"utterance": rows["utterance"], "scores": scores})


def by_hand(rows, frames):
    """Return the EER of samples, each with the score of its frame; the last frame lasts longest."""
    frame = np.minimum(np.arange(SIZE) // 320, 49)
    scores = np.concatenate([np.asarray(s, dtype=np.float64)[frame] for s in frames["scores"]])
    spoof = np.concatenate(spoofed(rows)).astype(np.int64)
    return weighted_eer(scores, 1 - spoof, spoof)


def test_the_rate_by_duration_counts_every_sample(rows):
    frames = frames_of(rows, 0, 0.5)
    figures = region_figures(rows, [frames], GRID, how(), RESOLUTIONS)
    assert figures["range"]["eer"] == pytest.approx(by_hand(rows, frames), abs=1e-12)
    assert figures["range"]["low"] <= figures["range"]["eer"] <= figures["range"]["high"]
    assert list(figures["segments"]) == [f"{r:g}" for r in RESOLUTIONS]


def test_segments_of_a_perfect_localiser_have_no_errors(rows):
    figures = region_figures(rows, [frames_of(rows, 0, 0.0)], GRID, how(), RESOLUTIONS)
    assert figures["segments"]["0.02"] == {"eer": 0.0, "low": 0.0, "high": 0.0}


def test_several_trainings_are_means_and_all_see_the_same_resamples(rows):
    first, second = frames_of(rows, 0, 0.5), frames_of(rows, 1, 1.0)
    one, other = (
        region_figures(rows, [f], GRID, how(), RESOLUTIONS)["range"]["eer"] for f in (first, second)
    )
    both = region_figures(rows, [first, second], GRID, how(), RESOLUTIONS)["range"]
    assert both["eer"] == pytest.approx((one + other) / 2)
    twice = region_figures(rows, [first, first], GRID, how(), RESOLUTIONS)
    assert twice == region_figures(rows, [first], GRID, how(), RESOLUTIONS)


def test_the_order_of_the_scores_changes_nothing_and_the_unit_does(rows):
    frames = frames_of(rows, 0, 0.5)
    figures = region_figures(rows, [frames], GRID, how(), RESOLUTIONS)
    assert region_figures(rows, [frames[::-1]], GRID, how(), RESOLUTIONS) == figures
    speakers = region_figures(rows, [frames], GRID, how("speaker"), RESOLUTIONS)
    assert speakers["range"]["eer"] == figures["range"]["eer"]
    assert speakers["range"]["low"] != figures["range"]["low"]
    alone = region_figures(rows, [frames], GRID, how("prompt"), RESOLUTIONS)["range"]
    assert alone == {"eer": figures["range"]["eer"], "low": None, "high": None}
