"""How well localisers say where speech is spoofed: by duration, by segment, over trainings."""

import numpy as np
import pandas as pd
import pytest

from mixframe.audio.frames import FrameGrid
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts
from mixframe.metrics.localisation import weighted_eer
from mixframe.metrics.seeds import two_level
from mixframe.stages.evaluate_regions import by_longest, numbers, rate, region_rates, timeline

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


def lines_of(rows, *trainings):
    return [timeline(rows, frames, GRID) for frames in trainings]


def figures_of(rows, *trainings, unit="trial"):
    """Return the figures of every rate, range and segments alike."""
    units, settings = numbers(rows, unit), how(unit)
    rates = region_rates(lines_of(rows, *trainings), units, settings, RESOLUTIONS)
    n_units = int(units.max()) + 1
    return {key: rate(values, n_units, settings.level) for key, values in rates.items()}


def test_the_rate_by_duration_counts_every_sample(rows):
    frames = frames_of(rows, 0, 0.5)
    figures = figures_of(rows, frames)
    assert list(figures) == ["range", *(f"{r:g}" for r in RESOLUTIONS)]
    assert figures["range"]["eer"] == pytest.approx(by_hand(rows, frames), abs=1e-12)
    assert figures["range"]["low"] <= figures["range"]["eer"] <= figures["range"]["high"]
    assert figures["range"]["std"] is None


def test_segments_of_a_perfect_localiser_have_no_errors(rows):
    figures = figures_of(rows, frames_of(rows, 0, 0.0))
    assert figures["0.02"] == {"eer": 0.0, "std": None, "low": 0.0, "high": 0.0}


def test_several_trainings_are_means_with_intervals_over_both(rows):
    first, second = frames_of(rows, 0, 0.5), frames_of(rows, 1, 1.0)
    one, other = (figures_of(rows, frames)["range"]["eer"] for frames in (first, second))
    both = figures_of(rows, first, second)["range"]
    assert both["eer"] == pytest.approx((one + other) / 2)
    assert both["std"] == pytest.approx(np.std([one, other], ddof=1))
    values = region_rates(lines_of(rows, first, second), numbers(rows, "trial"), how(), [0.02])
    low, high = np.clip(two_level([values["range"]], len(rows)).interval(0.95), 0, 1)
    assert (both["low"], both["high"]) == (low, high)


def test_all_trainings_see_the_same_resamples(rows):
    frames = frames_of(rows, 0, 0.5)
    values = region_rates(lines_of(rows, frames, frames), numbers(rows, "trial"), how(), [0.02])
    for of_rate in values.values():
        assert of_rate.shape == (2, 51)
        assert of_rate[0].tolist() == of_rate[1].tolist()


def test_the_order_of_the_scores_changes_nothing_and_the_unit_does(rows):
    frames = frames_of(rows, 0, 0.5)
    figures = figures_of(rows, frames)
    assert figures_of(rows, frames[::-1]) == figures
    speakers = figures_of(rows, frames, unit="speaker")
    assert speakers["range"]["eer"] == figures["range"]["eer"]
    assert speakers["range"]["low"] != figures["range"]["low"]
    alone = figures_of(rows, frames, unit="prompt")["range"]
    assert alone == {"eer": figures["range"]["eer"], "std": None, "low": None, "high": None}


def test_quarters_of_the_longest_region_stand_beside_all_bona_fide_utterances(rows):
    rows["regions"] = [[]] * 4 + [[0, 1600 * n] for n in (1, 2, 3, 4)] + [[]]
    frames = frames_of(rows, 0, 0.5)
    figures = by_longest(rows, lines_of(rows, frames), numbers(rows, "trial"), how())
    assert [f["median"] for f in figures] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert {(f["n_bonafide"], f["n_spoof"]) for f in figures} == {(4, 1)}
    for place, entry in enumerate(figures):
        chosen = [0, 1, 2, 3, 4 + place]
        alone = by_hand(rows.iloc[chosen], frames.iloc[chosen])
        assert entry["eer"] == pytest.approx(alone, abs=1e-12)
        assert entry["low"] <= entry["eer"] <= entry["high"]
    # The one that is spoofed from end to end is in none of them.
    assert (
        by_longest(rows.iloc[[0, 8]], lines_of(rows.iloc[[0, 8]], frames.iloc[[0, 8]]), [], how())
        == []
    )
