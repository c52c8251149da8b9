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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid
from mixframe.audio.spoofed import spoofed_parts
from mixframe.base.files import need_file, read_json, write_json
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Grid
from mixframe.experiment.scored import settings
from mixframe.metrics.bootstrap import Settings, interval
from mixframe.metrics.frames import frame_threshold
from mixframe.metrics.localisation import Pieces, Timeline, nanoseconds
from mixframe.metrics.regionfiles import SAMPLE, FrameScores
from mixframe.stages.context import Context, running
from mixframe.stages.evaluate_frames import frame_figures, means

RESOLUTIONS = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Seconds of the segments of PartialSpoof (Zhang et al., 2021) but for its 10 ms."""


def run(context: Context, grid: Grid) -> None:
    """Evaluate every localiser; means over the seeds.

    Raises:
        MixframeError: frame scores are missing, or are not of the utterances of their set.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate_regions"):
        table = manifest.read(files.manifest)
        config = read_json(need_file(files.foundation / "config.json", "pretrain"))
        spacing = FrameGrid(tuple(config["conv_kernel"]), tuple(config["conv_stride"]))
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        runs = [replace(files, seed=seed) for seed in grid.seed]
        localisers = [
            ("posttrain", s, [need_file(f.frames(s), "posttrain") for f in runs])
            for s in grid.posttrained
        ] + [
            ("finetune", s, [need_file(f.located(s), "score_frames") for f in runs])
            for s in grid.localising
        ]
        iou = preset.evaluate.segment_iou
        rows = [
            {"stage": stage, "system": system, "set": name, **figures}
            for stage, system, paths in localisers
            for name, figures in _figures(paths, table, spacing, how, iou).items()
        ]
        write_json(files.regions, rows)


def _figures(
    paths: Sequence[Path], table: pd.DataFrame, spacing: FrameGrid, how: Settings, iou: float
) -> dict[str, dict[str, Any]]:
    """Return the figures of one localiser by set, but for the held-out splices."""
    trainings = [pd.read_parquet(path) for path in paths]
    thresholds = [frame_threshold(frames[frames["set"] == HELDOUT]) for frames in trainings]
    figures = {}
    for name in trainings[0]["set"].unique():
        if name == HELDOUT:
            continue
        of_set = [frames[frames["set"] == name] for frames in trainings]
        by_frame = [
            frame_figures(frames, threshold, iou)
            for frames, threshold in zip(of_set, thresholds, strict=True)
        ]
        rows = table[table["set"] == name]
        figures[str(name)] = {**means(by_frame), **region_figures(rows, of_set, spacing, how)}
    return figures


def region_figures(
    rows: pd.DataFrame, trainings: Sequence[pd.DataFrame], spacing: FrameGrid, how: Settings
) -> dict[str, Any]:
    """Return the EER by duration and of segments, each with its interval over utterances.

    Args:
        rows: of the manifest, one set.
        trainings: utterance and scores (higher = bona fide), of each training.

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
            for seconds in RESOLUTIONS
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
