"""Stage evaluate_regions: how well each localiser of the grid says where speech is spoofed.

Localisers are the frame classifiers that post-training leaves, and the systems that learnt from
frame labels.

Reads: results/<preset>/corpus/manifest.parquet, results/<preset>/pretrain/config.json,
results/<preset>/scores/<system>/<seed>/{frames, located}.parquet, the preset's `evaluate` section
and `seed`, the grid.
Writes: results/<preset>/details/regions.json.
"""

from collections.abc import Sequence
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
from mixframe.experiment.scored import settings
from mixframe.metrics.bootstrap import Settings, interval
from mixframe.metrics.frames import frame_threshold, read_frames
from mixframe.metrics.localisation import Pieces, Timeline, nanoseconds
from mixframe.metrics.params import Evaluate
from mixframe.metrics.regionfiles import SAMPLE, FrameScores
from mixframe.stages.context import Context, running
from mixframe.stages.evaluate_frames import frame_figures, means


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
        runs = [replace(files, seed=seed) for seed in grid.seed]
        localisers = [
            ("posttrain", s, [read_frames(f.frames(s)) for f in runs]) for s in grid.posttrained
        ] + [
            ("finetune", s, [read_frames(f.located(s), "score_frames") for f in runs])
            for s in grid.localising
        ]
        rows = [
            {"stage": stage, "system": system, "set": name, **figures}
            for stage, system, trainings in localisers
            for name, figures in _figures(trainings, table, spacing, how, preset.evaluate).items()
        ]
        write_json(files.regions, rows)


def _figures(
    trainings: Sequence[pd.DataFrame],
    table: pd.DataFrame,
    spacing: FrameGrid,
    how: Settings,
    evaluate: Evaluate,
) -> dict[str, dict[str, Any]]:
    """Return the figures of one localiser by set, but for the held-out splices."""
    thresholds = [frame_threshold(frames[frames["set"] == HELDOUT]) for frames in trainings]
    figures = {}
    for name in trainings[0]["set"].unique():
        if name == HELDOUT:
            continue
        of_set = [frames[frames["set"] == name] for frames in trainings]
        by_frame = [
            frame_figures(frames, threshold, evaluate.segment_iou)
            for frames, threshold in zip(of_set, thresholds, strict=True)
        ]
        rows = table[table["set"] == name]
        where = region_figures(rows, of_set, spacing, how, evaluate.resolutions)
        figures[str(name)] = {**means(by_frame), **where}
    return figures


def region_figures(
    rows: pd.DataFrame,
    trainings: Sequence[pd.DataFrame],
    spacing: FrameGrid,
    how: Settings,
    resolutions: Sequence[float],
) -> dict[str, Any]:
    """Return the EER by duration and of segments, each with its interval over utterances.

    Args:
        rows: of the manifest, one set.
        trainings: utterance and scores (higher = bona fide), of each training.
        resolutions: of the segments, seconds.

    Returns:
        range: eer, low, high; segments: the same by seconds. They are means over the trainings,
        for which the same utterances are drawn; low and high are None with one unit to draw.
    """
    # As Timeline has it, in nanoseconds.
    truth = pd.DataFrame({"utterance": rows["utterance"], "duration": rows["samples"] * SAMPLE})
    truth["regions"] = [
        [edge * SAMPLE for part in parts for edge in part] for parts in spoofed_parts(rows)
    ]
    units = np.arange(len(rows))
    if how.unit != "trial":
        units = pd.factorize(rows[how.unit].to_numpy(object), sort=True)[0]
    step = spacing.hop * SAMPLE
    lines = [Timeline(truth, _scores(frames), step) for frames in trainings]
    return {
        "range": _eer([line.pieces for line in lines], units, how),
        "segments": {
            f"{seconds:g}": _eer(
                [line.segments(nanoseconds(seconds, "")).pieces for line in lines], units, how
            )
            for seconds in resolutions
        },
    }


def _scores(frames: pd.DataFrame) -> FrameScores:
    counts = np.array([len(values) for values in frames["scores"]], dtype=np.int64)
    scores = np.concatenate(frames["scores"].to_numpy()).astype(np.float64)
    return FrameScores(frames["utterance"].tolist(), counts, None, scores)


def _eer(trainings: Sequence[Pieces], units: np.ndarray, how: Settings) -> dict[str, float | None]:
    if units.max() == 0:
        return {"eer": float(np.mean([p.eer for p in trainings])), "low": None, "high": None}
    values = np.mean([pieces.resample(units, how) for pieces in trainings], axis=0)
    low, high = interval(values, how.level)
    return {"eer": float(values[0]), "low": low, "high": high}
