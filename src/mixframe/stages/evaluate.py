"""Figures of one system, of one frame classifier, of all systems, or of score files.

With SCORES and --keys: EER, detection costs, Cllr and intervals of a score file of any system in
the format of ASVspoof 5, 2021 or 2019, printed as a table. Without, the stage evaluate:

Reads: results/<preset>/corpus/manifest.parquet and results/<preset>/scores/<system>/, or
results/<preset>/scores/<system>/<seed>/frames.parquet, or the figures and scores of all systems;
the preset's `evaluate` section and `seed`; the grid of params.yaml.
Writes: results/<preset>/{metrics, details}/<system>.json and results/<preset>/det/<system>.csv, or
results/<preset>/details/frames-<system>.json, or
results/<preset>/summary/{summary.json, comparisons.csv, table.md, table.tex}.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_json, write_json, write_text
from mixframe.base.progress import log
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import Grid
from mixframe.metrics import calibration, detection, evaluation, scorefiles, segments
from mixframe.metrics.evaluation import Settings
from mixframe.metrics.frames import frame_classes, frame_threshold
from mixframe.metrics.params import Evaluate
from mixframe.metrics.tables import latex, markdown
from mixframe.stages.context import Context, running

DEV = "dev"
"""The set that calibrates."""

DET_POINTS = 200
"""Points of a thinned DET curve; a plot shows no more."""


def settings(section: Evaluate, seed: int, workers: int = 1) -> Settings:
    """Return how a preset wants its figures."""
    costs = detection.DcfCosts(section.costs.p_spoof, section.costs.c_miss, section.costs.c_fa)
    drawn = section.bootstrap
    return Settings(costs, drawn.unit, drawn.resamples, drawn.level, seed, workers)


def read_runs(
    files: Layout, table: pd.DataFrame, system: str, name: str, grid: Grid
) -> list[pd.DataFrame]:
    """Return the scored trials of one system on one set, a table a seed of the grid.

    Raises:
        MixframeError: a score file is missing, or does not have exactly one score a trial.
    """
    trials = table[table["set"] == name].rename(columns={"utterance": "trial"})
    runs = []
    for seed in grid.seed:
        path = need_file(replace(files, seed=seed).scores(system, name), "score")
        runs.append(scorefiles.align(scorefiles.read_scores(path), trials))
    return runs


def run(context: Context, system: str, grid: Grid) -> None:
    """Evaluate the scores of one system on every set of the grid.

    Raises:
        MixframeError: a score file is missing, or does not have exactly one score a trial.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate", system):
        table = manifest.read(files.manifest, [DEV, *grid.set])
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        dev = read_runs(files, table, system, DEV, grid)
        fitted = [calibration.fit(*scorefiles.by_class(run)) for run in dev]
        details: dict[str, Any] = {}
        curves = []
        for name in grid.set:
            runs = read_runs(files, table, system, name, grid)
            details[name] = {
                **evaluation.pooled(runs, how),
                "calibrated": evaluation.calibrated(runs, fitted, how.costs),
                "by_attack": evaluation.by_condition(runs, "attack", how),
                "by_codec": (
                    evaluation.by_condition(runs, "codec", how)
                    if runs[0]["codec"].nunique() > 1
                    else {}
                ),
            }
            points = det_curve(*scorefiles.by_class(runs[0]))
            curves.append(points.assign(set=name)[["set", "p_fa", "p_miss", "x", "y"]])
            warning = scorefiles.sign_warning(details[name]["eer"])
            if warning:
                log(f"  {system} on {name}: {warning}")
        figures = {name: evaluation.brief(entry) for name, entry in details.items()}
        write_json(files.metrics(system), figures)
        write_json(files.details(system), details)
        write_text(files.det(system), pd.concat(curves).to_csv(index=False, lineterminator="\n"))


def det_curve(bonafide: np.ndarray, spoof: np.ndarray) -> pd.DataFrame:
    """Return DET points thinned to what a plot can show.

    Returns:
        p_fa, p_miss as fractions; x, y: their probits, the axes of a DET plot. Points at 0 and 1,
        whose probits are infinite, are left out.
    """
    det = detection.det_points(bonafide, spoof)
    inside = (det.p_fa > 0) & (det.p_fa < 1) & (det.p_miss > 0) & (det.p_miss < 1)
    points = pd.DataFrame({"p_fa": det.p_fa[inside], "p_miss": det.p_miss[inside]})
    points = points.assign(x=ndtri(points["p_fa"]), y=ndtri(points["p_miss"]))
    if len(points) > DET_POINTS:
        # Even steps along the curve, not along the trials, keep its ends.
        step = np.hypot(points["x"].diff().fillna(0), points["y"].diff().fillna(0)).cumsum()
        wanted = np.linspace(0, step.iloc[-1], DET_POINTS)
        points = points.iloc[np.unique(np.searchsorted(step, wanted).clip(max=len(step) - 1))]
    return points.reset_index(drop=True)


def run_frames(context: Context, system: str, grid: Grid) -> None:
    """Evaluate the frame classifier of one post-trained encoder; means over the seeds.

    The threshold for segments is the one at the EER of the held-out (dev) splices; other sets are
    judged with that threshold.

    Raises:
        MixframeError: the frame scores are missing.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate", f"frames-{system}"):
        figures: dict[str, list[dict[str, float]]] = {}
        for seed in grid.seed:
            path = replace(files, seed=seed).frames(system)
            frames = pd.read_parquet(need_file(path, "posttrain"))
            heldout = frames[frames["set"] == HELDOUT]
            threshold = frame_threshold(heldout)
            for name, rows in frames.groupby("set", sort=False):
                one = frame_figures(rows, threshold, preset.evaluate.segment_iou)
                figures.setdefault(str(name), []).append(one)
        write_json(files.frame_metrics(system), {n: _means(runs) for n, runs in figures.items()})


def _means(runs: Sequence[dict[str, float]]) -> dict[str, float | None]:
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


def run_summary(context: Context, grid: Grid) -> None:
    """Write the result table of all systems, and which of their differences are supported.

    Raises:
        MixframeError: the figures or the scores of a system are missing.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate", "summary"):
        systems: dict[str, Any] = {}
        for system in grid.system:
            card = read_json(replace(files, seed=grid.seed[0]).finetuned(system) / "card.json")
            systems[system] = {
                "trainable_parameters": card["parameters"]["trainable"],
                "total_parameters": card["parameters"]["total"],
                "sets": read_json(files.metrics(system)),
                "frames": (
                    read_json(files.frame_metrics(system)) if system in grid.posttrained else {}
                ),
            }
        summary = {
            "preset": context.name,
            "seeds": grid.seed,
            "sets": grid.set,
            "systems": systems,
        }
        missing = [
            f"{system} on {name}"
            for system, entry in systems.items()
            for name in grid.set
            if name not in entry["sets"]
        ]
        if missing:
            raise MixframeError(f"no figures for {', '.join(missing)}; run `dvc repro`")
        table = manifest.read(files.manifest, grid.set)
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        compared = pd.concat(
            [
                evaluation.differences(
                    {s: read_runs(files, table, s, name, grid) for s in grid.system}, how
                ).assign(set=name)
                for name in grid.set
            ]
        )
        columns = ["set", *(c for c in compared if c != "set")]
        write_text(files.comparisons, compared[columns].to_csv(index=False, lineterminator="\n"))
        write_json(files.summary, summary)
        write_text(files.table, markdown(summary))
        write_text(files.table_latex, latex(summary))
