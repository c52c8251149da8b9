"""Stage evaluate_frames: figures of the frame classifier of one post-trained encoder.

Reads: results/<preset>/scores/<system>/<seed>/frames.parquet, the preset's `evaluate.segment_iou`,
seeds of the grid.
Writes: results/<preset>/details/frames-<system>.json.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixframe.base.files import write_json
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Grid
from mixframe.metrics import detection, segments
from mixframe.metrics.frames import frame_classes, frame_threshold, read_frames
from mixframe.stages.context import Context, running


def run(context: Context, system: str, grid: Grid) -> None:
    """Evaluate the frame classifier of one post-trained encoder; means over the seeds.

    The threshold for segments is the one at the EER of the held-out (dev) splices; other sets are
    judged with that threshold.

    Raises:
        MixframeError: the frame scores are missing.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate_frames", system):
        figures: dict[str, list[dict[str, float]]] = {}
        for seed in grid.seed:
            path = replace(files, seed=seed).frames(system)
            frames = read_frames(path)
            heldout = frames[frames["set"] == HELDOUT]
            threshold = frame_threshold(heldout)
            for name, rows in frames.groupby("set", sort=False):
                one = frame_figures(rows, threshold, preset.evaluate.segment_iou)
                figures.setdefault(str(name), []).append(one)
        write_json(files.frame_metrics(system), {n: means(runs) for n, runs in figures.items()})


def means(runs: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Return the mean of each figure; None where the runs have none."""
    means = pd.DataFrame(runs).astype(float).mean()
    return {str(key): None if np.isnan(value) else value for key, value in means.items()}


def frame_figures(frames: pd.DataFrame, threshold: float, min_iou: float) -> dict[str, float]:
    """Return frame-level EER, segment figures, and false alarms on utterances without a splice.

    Args:
        frames: labels (1 = injected) and scores (higher = not injected) of each utterance.
        threshold: frames with scores at or below it are taken for injected.
        min_iou: overlap from which a predicted segment counts as found.

    Returns:
        frame_eer; the keys of `segments.segment_f1`; clean_false_alarm, the share of the
        duration of utterances without a splice that is called injected (frames have one length);
        clean_utterance_alarm, the share of those utterances with a frame called injected; both None
        where every utterance has a splice.
    """
    labels = [row == 1 for row in frames["labels"]]
    decisions = [row <= threshold for row in frames["scores"]]
    clean = [d for d, truth in zip(decisions, labels, strict=True) if not truth.any()]
    n_clean = sum(len(d) for d in clean)
    figures: dict[str, Any] = {
        "frame_eer": detection.eer(*frame_classes(frames)),
        **segments.segment_f1(labels, decisions, min_iou),
        "clean_false_alarm": sum(int(d.sum()) for d in clean) / n_clean if n_clean else None,
        "clean_utterance_alarm": float(np.mean([d.any() for d in clean])) if clean else None,
    }
    return figures
