"""Every figure of a system on a set of trials: pooled, by condition, calibrated, beside another's.

Trials are tables with the columns trial, label, score, and whatever else is known of them (speaker,
attack, codec ...). The stage `evaluate` and the commands for score files of any system both end
here. Rates are fractions; what each key means is in docs/evaluation.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from mixframe.metrics import bootstrap
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.calibration import Affine
from mixframe.metrics.detection import DcfCosts, FloatArray, Sample
from mixframe.metrics.registry import EER, INTERVAL, METRICS, Metric, point_metrics
from mixframe.metrics.scorefiles import by_class

FEW_UNITS = 30
"""Below so many speakers percentile intervals are too narrow."""

ATTACK = "attack"
"""The condition that splits the spoofed trials only."""

UNKNOWN = ("", "-")

RESAMPLED = [metric for metric in METRICS if metric.interval]
BRIEF = [metric for metric in METRICS if metric.brief]


def unit_of(table: pd.DataFrame) -> str:
    """Return `speaker` if every trial names one and there are several, else `trial`."""
    if "speaker" not in table:
        return "trial"
    names = set(table["speaker"].tolist())
    return "speaker" if len(names) > 1 and not names & set(UNKNOWN) else "trial"


def pooled(runs: Sequence[pd.DataFrame], settings: Settings) -> dict[str, Any]:
    """Return the figures over all trials.

    Args:
        runs: the same trials scored by each of a system's trainings.

    Returns:
        the keys of `point_metrics`, means over the runs; the intervals of those means, with _low
        and _high in their keys; eer_by_seed; and eer_std, the standard deviation of the EER over
        the runs, if there are several.
    """
    points = [point_metrics(Sample(*by_class(run)), settings.costs) for run in runs]
    eers = [point["eer"] for point in points]
    return {
        **pd.DataFrame(points).mean().to_dict(),
        "n_bonafide": points[0]["n_bonafide"],
        "n_spoof": points[0]["n_spoof"],
        **_intervals(runs, RESAMPLED, settings),
        **({"eer_std": float(np.std(eers, ddof=1))} if len(eers) > 1 else {}),
        "eer_by_seed": eers,
    }


def brief(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few of the figures of `pooled` that sum up a system."""
    keys = [key for metric in BRIEF for key in (*metric.brief_keys, f"{metric.key}_std")]
    return {key: figures[key] for key in keys if key in figures}


def by_condition(
    runs: Sequence[pd.DataFrame], column: str, settings: Settings
) -> dict[str, dict[str, Any]]:
    """Return the figures of each value of a column.

    By attack, an attack's spoofed trials stand against all bona fide ones; by any other column both
    classes are restricted to the value.

    Returns:
        by value, sorted: the brief keys of the metrics, n_bonafide, n_spoof. Where a class has no
        trial the metrics are None; where all trials are of one speaker (or what else is drawn) the
        intervals are.
    """
    first = runs[0]
    values = first.loc[first["label"] == "spoof", column] if column == ATTACK else first[column]
    figures = {}
    for value in sorted(values.unique()):
        inside = first[column] == value
        if column == ATTACK:
            inside |= first["label"] == "bonafide"
        figures[str(value)] = _condition([run[inside.to_numpy()] for run in runs], settings)
    return figures


def _condition(runs: Sequence[pd.DataFrame], settings: Settings) -> dict[str, Any]:
    n_bonafide = int((runs[0]["label"] == "bonafide").sum())
    figures: dict[str, Any] = {key: None for metric in BRIEF for key in metric.brief_keys}
    if n_bonafide and n_bonafide < len(runs[0]):
        samples = [Sample(*by_class(run)) for run in runs]
        for metric in BRIEF:
            values = [metric.value(sample, settings.costs) for sample in samples]
            figures[metric.key] = float(np.mean(values))
        if settings.unit == "trial" or runs[0][settings.unit].nunique() > 1:
            resampled = [metric for metric in BRIEF if metric.brief == INTERVAL]
            figures |= _intervals(runs, resampled, settings)
    return {**figures, "n_bonafide": n_bonafide, "n_spoof": len(runs[0]) - n_bonafide}


def resample(
    systems: Mapping[str, Sequence[pd.DataFrame]], metrics: Sequence[Metric], settings: Settings
) -> dict[str, dict[str, FloatArray]]:
    """Return metrics of systems on the same resamples of their trials, as `bootstrap.resample`.

    Args:
        systems: for each system the runs, of the same trials in the same order.
    """
    scores = {name: [by_class(run) for run in runs] for name, runs in systems.items()}
    groups = None
    if settings.unit != "trial":
        table = next(iter(systems.values()))[0]
        spoof = table["label"] == "spoof"
        groups = table.loc[~spoof, settings.unit], table.loc[spoof, settings.unit]
    return bootstrap.resample(scores, metrics, settings, groups)


def _intervals(
    runs: Sequence[pd.DataFrame], metrics: Sequence[Metric], settings: Settings
) -> dict[str, float]:
    """Return the intervals of the means over the runs, by key."""
    figures = {}
    for key, values in resample({"": runs}, metrics, settings)[""].items():
        figures[f"{key}_low"], figures[f"{key}_high"] = bootstrap.interval(values, settings.level)
    return figures


def calibrated(
    runs: Sequence[pd.DataFrame], fitted: Sequence[Affine | None], costs: DcfCosts
) -> dict[str, Any] | None:
    """Return the metrics that calibration changes, of calibrated scores, means over the runs.

    Args:
        fitted: the calibration of each run, as of `calibration.fit`.

    Returns:
        slope and offset, a list with a value a run, and the metrics. None if a run has no
        calibration.
    """
    known = [affine for affine in fitted if affine is not None]
    if len(known) < len(runs):
        return None
    samples = []
    for run, affine in zip(runs, known, strict=True):
        bonafide, spoof = by_class(run)
        samples.append(Sample(affine(bonafide), affine(spoof)))
    return {
        "slope": [affine.slope for affine in known],
        "offset": [affine.offset for affine in known],
        **{
            metric.key: float(np.mean([metric.value(sample, costs) for sample in samples]))
            for metric in METRICS
            if metric.calibrated
        },
    }


def differences(systems: Mapping[str, Sequence[pd.DataFrame]], settings: Settings) -> pd.DataFrame:
    """Compare the EER of every two systems on the same trials, by a paired bootstrap.

    There are at least as many resamples as the smallest p-value needs to stay below 1 - level
    after the correction.

    Args:
        systems: for each system the runs, of the same trials in the same order.

    Returns:
        a row a pair: first, second, difference (first minus second, a fraction), low, high,
        p_value, p_holm (corrected for the number of pairs), supported (p_holm at most 1 - level).
    """
    alpha = 1 - settings.level
    n_pairs = len(systems) * (len(systems) - 1) // 2
    resamples = max(settings.resamples, ceil(4 * n_pairs / alpha))
    columns = ["first", "second", "difference", "low", "high", "p_value"]
    rows = []
    if n_pairs:
        values = resample(systems, [EER], replace(settings, resamples=resamples))
        for first, second in combinations(systems, 2):
            eers = values[first][EER.key], values[second][EER.key]
            compared = bootstrap.difference(*eers, settings.level)
            rows.append({"first": first, "second": second, **compared})
    pairs = pd.DataFrame(rows, columns=columns)
    corrected = bootstrap.holm(pairs["p_value"].tolist())
    return pairs.assign(p_holm=corrected, supported=[p <= alpha for p in corrected])


def resampling(table: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Say how the intervals of some trials were made, for the record."""
    n_units = len(table) if settings.unit == "trial" else table[settings.unit].nunique()
    return {
        "unit": settings.unit,
        "n_units": int(n_units),
        "resamples": settings.resamples,
        "level": settings.level,
        "seed": settings.seed,
    }
