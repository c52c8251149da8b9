"""Stage evaluate_regions: how well each localiser of the grid says where speech is spoofed.

Localisers are the frame classifiers that post-training leaves, and the systems that learnt from
frame labels.

Reads: results/<preset>/corpus/manifest.parquet, results/<preset>/pretrain/config.json,
results/<preset>/scores/<system>/<seed>/{frames, located}.parquet, the preset's `evaluate` section
and `seed`, the grid.
Writes: results/<preset>/details/regions.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid, read_grid
from mixframe.audio.spoofed import spoofed_parts
from mixframe.base.files import write_json
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Grid
from mixframe.experiment.scored import localiser_name, read_localisers, settings
from mixframe.metrics import evaluation
from mixframe.metrics.bootstrap import Settings, interval
from mixframe.metrics.detection import FloatArray, IntArray
from mixframe.metrics.frames import frame_threshold
from mixframe.metrics.localisation import Pieces, Timeline, nanoseconds, quarter
from mixframe.metrics.params import Evaluate
from mixframe.metrics.regionfiles import SAMPLE, SECOND, FrameScores
from mixframe.metrics.seeds import two_level
from mixframe.stages.context import Context, running
from mixframe.stages.evaluate_frames import frame_figures, means

RANGE = "range"
"""The rate by duration, among those of segments, which are named by seconds."""


def run(context: Context, grid: Grid) -> None:
    """Evaluate every localiser; means over the seeds.

    Raises:
        MixframeError: frame scores are missing, or are not of the utterances of their set.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate_regions"):
        table = manifest.read(files.manifest)
        spacing = read_grid(files.foundation / "config.json")
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        runs = [read_localisers(replace(files, seed=seed), grid) for seed in grid.seed]
        localisers: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        sets = pd.concat([frames["set"] for frames in runs[0].values()]).unique() if runs[0] else ()
        for name in sets:
            if name == HELDOUT:
                continue
            rows = table[table["set"] == name]
            trainings = {
                key: [run[key] for run in runs]
                for key, frames in runs[0].items()
                if (frames["set"] == name).any()
            }
            of_set = _of_set(rows, trainings, spacing, how, preset.evaluate)
            localisers += [{**entry, "set": name} for entry in of_set[0]]
            differences += [{"set": name, **entry} for entry in of_set[1]]
        write_json(files.regions, {"localisers": localisers, "differences": differences})


def _of_set(
    rows: pd.DataFrame,
    localisers: Mapping[tuple[str, str], Sequence[pd.DataFrame]],
    spacing: FrameGrid,
    how: Settings,
    evaluate: Evaluate,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the figures of each localiser on one set, and the differences of every two.

    Args:
        rows: of the manifest, the set.
        localisers: frame scores of all sets, of each training, by stage and system.
    """
    name = rows["set"].iloc[0]
    units = numbers(rows, how.unit)
    n_units = int(units.max()) + 1
    draws = evaluation.for_pairs(len(localisers), how)
    entries = []
    rates: dict[str, dict[str, FloatArray]] = {}
    for (stage, system), trainings in localisers.items():
        by_frame, lines = [], []
        for frames in trainings:
            threshold = frame_threshold(frames[frames["set"] == HELDOUT])
            of_set = frames[frames["set"] == name]
            by_frame.append(frame_figures(of_set, threshold, evaluate.segment_iou))
            lines.append(timeline(rows, of_set, spacing))
        mine = region_rates(lines, units, draws, evaluate.resolutions)
        rates[localiser_name(stage, system)] = mine
        figures = {key: rate(values, n_units, how.level) for key, values in mine.items()}
        entries.append(
            {
                "stage": stage,
                "system": system,
                **means(by_frame),
                RANGE: figures.pop(RANGE),
                "segments": figures,
                "by_longest": by_longest(rows, lines, units, how),
            }
        )
    differences = []
    if n_units > 1:
        for key in (RANGE, f"{min(evaluate.resolutions):g}"):
            eers = {name: mine[key] for name, mine in rates.items()}
            pairs = evaluation.all_pairs(eers, n_units, how.level)
            differences += [
                {"rate": key, **{str(k): None if v != v else v for k, v in pair.items()}}
                for pair in pairs.to_dict("records")
            ]
    return entries, differences


def numbers(rows: pd.DataFrame, unit: str) -> IntArray:
    """Return which unit that is drawn each of (n,) utterances belongs to, from 0."""
    if unit == "trial":
        return np.arange(len(rows))
    return pd.factorize(rows[unit].to_numpy(object), sort=True)[0].astype(np.int64)


def timeline(rows: pd.DataFrame, frames: pd.DataFrame, spacing: FrameGrid) -> Timeline:
    """Put the utterances of a set and the scores of their frames on one axis of time.

    Args:
        rows: of the manifest, one set.
        frames: utterance and scores (higher = bona fide).
    """
    # As Timeline has it, in nanoseconds.
    truth = pd.DataFrame({"utterance": rows["utterance"], "duration": rows["samples"] * SAMPLE})
    truth["regions"] = [
        [edge * SAMPLE for part in parts for edge in part] for parts in spoofed_parts(rows)
    ]
    counts = np.array([len(values) for values in frames["scores"]], dtype=np.int64)
    scores = np.concatenate(frames["scores"].to_numpy()).astype(np.float64)
    scored = FrameScores(frames["utterance"].tolist(), counts, None, scores)
    return Timeline(truth, scored, spacing.hop * SAMPLE)


def region_rates(
    lines: Sequence[Timeline], units: IntArray, how: Settings, resolutions: Sequence[float]
) -> dict[str, FloatArray]:
    """Return the EER by duration and of segments, of the utterances as given and of resamples.

    Args:
        lines: one set, of each training, for all of which the same utterances are drawn.
        units: of the utterances, as numbers from 0.
        resolutions: of the segments, seconds.

    Returns:
        (trainings, 1 + resamples), or (trainings, 1) with one unit to draw: of `RANGE`, and of
        each resolution.
    """
    rates = {RANGE: _resampled([line.pieces for line in lines], units, how)}
    for seconds in resolutions:
        pieces = [line.segments(nanoseconds(seconds, "")).pieces for line in lines]
        rates[f"{seconds:g}"] = _resampled(pieces, units, how)
    return rates


def by_longest(
    rows: pd.DataFrame, lines: Sequence[Timeline], units: IntArray, how: Settings
) -> list[dict[str, Any]]:
    """Return the EER by duration for each quarter of the utterances that are spoofed in part.

    They are ordered by their longest spoofed region, those with equal ones stay together, and each
    quarter stands beside all bona fide utterances.

    Returns:
        rows: shortest, median and longest (of these regions, seconds), n_bonafide and n_spoof
        (utterances), and what `rate` returns.
    """
    parted = rows["regions"].map(len).to_numpy() > 0
    clean = (rows["label"] == "bonafide").to_numpy() & ~parted
    if not parted.any():
        return []
    seconds = lines[0].longest / SECOND
    place = quarter(seconds[parted])
    figures = []
    for number in np.unique(place):
        chosen = np.flatnonzero(parted)[place == number]
        inside = clean.copy()
        inside[chosen] = True
        pieces = [piece for line in lines if (piece := line.pieces_of(inside)) is not None]
        if not pieces:
            continue
        drawn, mine = np.unique(units[inside], return_inverse=True)
        values = _resampled(pieces, mine, how)
        figures.append(
            {
                "shortest": float(seconds[chosen].min()),
                "median": float(np.median(seconds[chosen])),
                "longest": float(seconds[chosen].max()),
                "n_bonafide": int(clean.sum()),
                "n_spoof": len(chosen),
                **rate(values, len(drawn), how.level),
            }
        )
    return figures


def _resampled(trainings: Sequence[Pieces], units: IntArray, how: Settings) -> FloatArray:
    if units.max() == 0:
        return np.array([[pieces.eer] for pieces in trainings])
    return np.array([pieces.resample(units, how) for pieces in trainings])


def rate(values: FloatArray, n_units: int, level: float) -> dict[str, float | None]:
    """Return a mean over trainings and its interval.

    Args:
        values: (trainings, 1 + resamples) of one rate.

    Returns:
        eer, std (over the trainings; None of a single one), low and high: over utterances, or what
        else is drawn, and over trainings where there are several; None with one unit.
    """
    eers = values[:, 0]
    figures: dict[str, float | None] = {
        "eer": float(eers.mean()),
        "std": float(eers.std(ddof=1)) if len(eers) > 1 else None,
        "low": None,
        "high": None,
    }
    if n_units > 1:
        both = two_level([values], n_units)
        ends = both.interval(level) if both else interval(values[0], level)
        figures["low"], figures["high"] = np.clip(ends, 0, 1).tolist()
    return figures
