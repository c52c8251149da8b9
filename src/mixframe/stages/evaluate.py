"""Stage evaluate: figures of one system, of one frame classifier, or of all systems together.

Reads: results/<preset>/corpus/manifest.parquet and results/<preset>/scores/<system>/, or
results/<preset>/posttrain/<system>/<seed>/frames.parquet, or the figures of all systems; the
preset's `evaluate` section and `seed`; the grid of params.yaml.
Writes: results/<preset>/{metrics, details}/<system>.json and results/<preset>/det/<system>.csv, or
results/<preset>/frames/<system>.json, or results/<preset>/{summary.json, table.md}.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixframe import bootstrap, manifest, metrics, scorefiles
from mixframe.errors import MixframeError
from mixframe.files import need_file, read_json, write_json, write_text
from mixframe.layout import HELDOUT
from mixframe.params import Evaluate, Grid
from mixframe.progress import log
from mixframe.stages.context import Context, running
from mixframe.tables import markdown

DET_POINTS = 200
"""Points of a thinned DET curve; a plot shows no more."""


def run(context: Context, system: str, grid: Grid) -> None:
    """Evaluate the scores of one system on every set of the grid.

    Raises:
        MixframeError: a score file is missing, or does not have exactly one score a trial.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate", system):
        table = manifest.read(files.manifest, grid.set)
        details: dict[str, Any] = {}
        curves = []
        for name in grid.set:
            trials = table[table["set"] == name].rename(columns={"utterance": "trial"})
            runs = []
            for seed in grid.seed:
                path = replace(files, seed=seed).scores(system, name)
                scored = scorefiles.read_scores(need_file(path, "score"))
                runs.append(scorefiles.align(scored, trials))
            details[name] = set_figures(runs, preset.evaluate, preset.seed)
            points = det_curve(*scorefiles.by_class(runs[0]))
            curves.append(points.assign(set=name)[["set", "p_fa", "p_miss", "x", "y"]])
            warning = scorefiles.sign_warning(details[name]["eer"])
            if warning:
                log(f"  {system} on {name}: {warning}")
        small = ("eer", "eer_low", "eer_high", "eer_std", "min_dcf")
        figures = {n: {k: d[k] for k in small if k in d} for n, d in details.items()}
        write_json(files.metrics(system), figures)
        write_json(files.details(system), details)
        write_text(files.det(system), pd.concat(curves).to_csv(index=False, lineterminator="\n"))


def set_figures(runs: Sequence[pd.DataFrame], params: Evaluate, seed: int) -> dict[str, Any]:
    """Return every figure of one system on one set.

    Args:
        runs: for each training seed the same trials: trial, score, label, attack, codec, and the
            bootstrap's unit.

    Returns:
        the keys of `metrics.PointMetrics`, means over the seeds; eer_low, eer_high, min_dcf_low,
        min_dcf_high, the intervals of those means; eer_std, the standard deviation of the EER over
        the seeds, if there are several; eer_by_seed; and by_attack: for each attack eer, eer_low,
        eer_high, n_spoof, its spoofed trials against all bona fide ones. Rates are fractions.
    """
    costs = metrics.DcfCosts(params.costs.p_spoof, params.costs.c_miss, params.costs.c_fa)
    bonafide = [run[run["label"] == "bonafide"] for run in runs]
    spoof = [run[run["label"] == "spoof"] for run in runs]
    points = [
        metrics.point_metrics(b["score"], s["score"], costs)
        for b, s in zip(bonafide, spoof, strict=True)
    ]
    eers = [point["eer"] for point in points]
    figures: dict[str, Any] = {
        **pd.DataFrame(points).mean().to_dict(),
        "n_bonafide": points[0]["n_bonafide"],
        "n_spoof": points[0]["n_spoof"],
        **_intervals(bonafide, spoof, params, costs, seed),
        **({"eer_std": float(np.std(eers, ddof=1))} if len(eers) > 1 else {}),
        "eer_by_seed": eers,
    }
    by_attack = {}
    for attack in sorted(spoof[0]["attack"].unique()):
        some = [s[s["attack"] == attack] for s in spoof]
        both = _intervals(bonafide, some, params, costs, seed)
        rates = [metrics.eer(b["score"], s["score"]) for b, s in zip(bonafide, some, strict=True)]
        by_attack[str(attack)] = {
            "eer": float(np.mean(rates)),
            "eer_low": both["eer_low"],
            "eer_high": both["eer_high"],
            "n_spoof": len(some[0]),
        }
    return {**figures, "by_attack": by_attack}


def _intervals(
    bonafide: Sequence[pd.DataFrame],
    spoof: Sequence[pd.DataFrame],
    params: Evaluate,
    costs: metrics.DcfCosts,
    seed: int,
) -> dict[str, float]:
    unit = params.bootstrap.unit
    groups = None if unit == "trial" else (bonafide[0][unit], spoof[0][unit])
    result = bootstrap.bootstrap_mean(
        [(b["score"], s["score"]) for b, s in zip(bonafide, spoof, strict=True)],
        costs,
        seed=seed,
        groups=groups,
        resamples=params.bootstrap.resamples,
        level=params.bootstrap.level,
    )
    return {
        "eer_low": result.eer.low,
        "eer_high": result.eer.high,
        "min_dcf_low": result.min_dcf.low,
        "min_dcf_high": result.min_dcf.high,
    }


def det_curve(bonafide: np.ndarray, spoof: np.ndarray) -> pd.DataFrame:
    """Return DET points thinned to what a plot can show.

    Returns:
        p_fa, p_miss as fractions; x, y: their probits, the axes of a DET plot. Points at 0 and 1,
        whose probits are infinite, are left out.
    """
    det = metrics.det_points(bonafide, spoof)
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
        found: dict[str, list[dict[str, float]]] = {}
        for seed in grid.seed:
            path = replace(files, seed=seed).frames(system)
            frames = pd.read_parquet(need_file(path, "posttrain"))
            heldout = frames[frames["set"] == HELDOUT]
            threshold = metrics.eer_threshold(*_frame_classes(heldout))
            for name, some in frames.groupby("set", sort=False):
                figures = frame_figures(some, threshold, preset.evaluate.segment_iou)
                found.setdefault(str(name), []).append(figures)
        write_json(files.frame_metrics(system), {n: _means(runs) for n, runs in found.items()})


def _means(runs: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Return the mean of each figure; None where the runs have none."""
    means = pd.DataFrame(runs).astype(float).mean()
    return {str(key): None if np.isnan(value) else value for key, value in means.items()}


def _frame_classes(frames: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    labels = np.concatenate(frames["labels"].to_numpy())
    scores = np.concatenate(frames["scores"].to_numpy()).astype(np.float64)
    return scores[labels == 0], scores[labels == 1]


def frame_figures(frames: pd.DataFrame, threshold: float, min_iou: float) -> dict[str, float]:
    """Return frame-level EER, segment figures, and false alarms on utterances without a splice.

    Args:
        frames: labels (1 = injected) and scores (higher = not injected) of each utterance.
        threshold: frames with scores at or below it are taken for injected.
        min_iou: overlap from which a predicted segment counts as found.
    """
    labels = [row == 1 for row in frames["labels"]]
    decisions = [row <= threshold for row in frames["scores"]]
    clean = [d for d, truth in zip(decisions, labels, strict=True) if not truth.any()]
    n_clean = sum(len(d) for d in clean)
    figures: dict[str, Any] = {
        "frame_eer": metrics.eer(*_frame_classes(frames)),
        **metrics.segment_f1(labels, decisions, min_iou),
        "clean_false_alarm": sum(int(d.sum()) for d in clean) / n_clean if n_clean else None,
    }
    return figures


def run_summary(context: Context, grid: Grid) -> None:
    """Write the result table of all systems.

    Raises:
        MixframeError: the figures of a system are missing.
    """
    files = context.files
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
        write_json(files.summary, summary)
        write_text(files.table, markdown(summary))
