"""Every figure of a system on a set of trials: pooled, by condition, calibrated, beside another's.

Trials are tables with the columns trial, label, score, and whatever else is known of them (speaker,
attack, codec ...). The stage `evaluate` and the commands for score files of any system both end
here. Rates are fractions; what each key means is in docs/evaluation.md.
"""

from collections.abc import Collection, Mapping, Sequence
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
from mixframe.metrics.seeds import two_level

FEW_UNITS = 30
"""Below so many speakers percentile intervals are too narrow."""

ATTACK = "attack"
"""The condition that splits the spoofed trials only."""

UNKNOWN = ("", "-")

ONE_TRAINING = "one training"
BY_TRIALS = "trials"
BY_TRAININGS = "trainings"
"""Reasons why a difference is not supported."""

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
        the keys of `point_metrics`, means over the runs; the intervals of those means over other
        trials, with _low and _high in their keys; eer_by_seed; and, if there are several runs,
        eer_std, the standard deviation of the EER over them, and what `_two_levels` returns.
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
    return {key: figures[key] for key in (*keys, *TWO_LEVELS) if key in figures}


def by_novelty(
    runs: Sequence[pd.DataFrame], trained: Collection[str], settings: Settings
) -> dict[str, dict[str, Any]]:
    """Return the figures against attacks that training has heard, and against all others.

    Args:
        trained: attacks of the training set.

    Returns:
        for known and unknown the keys of `by_condition`; an attack stands against all bona fide
        trials. Rates are None where there is no such attack.
    """
    first = runs[0]
    known = first["attack"].isin(list(trained))
    bonafide = first["label"] == "bonafide"
    inside = {"known": bonafide | known, "unknown": bonafide | ~known}
    return {
        name: _condition([run[rows.to_numpy()] for run in runs], settings)
        for name, rows in inside.items()
    }


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
    """Return metrics of the runs of systems on the same resamples of their trials.

    Args:
        systems: for each system the runs, of the same trials in the same order.

    Returns:
        (runs, 1 + resamples) by system and key of the metric, as `bootstrap.resample_runs`.
    """
    scores = {name: [by_class(run) for run in runs] for name, runs in systems.items()}
    groups = None
    if settings.unit != "trial":
        table = next(iter(systems.values()))[0]
        spoof = table["label"] == "spoof"
        groups = table.loc[~spoof, settings.unit], table.loc[spoof, settings.unit]
    return bootstrap.resample_runs(scores, metrics, settings, groups)


def _intervals(
    runs: Sequence[pd.DataFrame], metrics: Sequence[Metric], settings: Settings
) -> dict[str, float]:
    """Return the intervals of the means over the runs, by key; of the EER over trainings too."""
    figures: dict[str, float] = {}
    for key, values in resample({"": runs}, metrics, settings)[""].items():
        low, high = bootstrap.interval(values.mean(axis=0), settings.level)
        figures |= {f"{key}_low": low, f"{key}_high": high}
        if key == EER.key:
            figures |= _two_levels(values, count_units(runs[0], settings), settings.level)
    return figures


TWO_LEVELS = ("eer_both_low", "eer_both_high", "eer_sd_trials", "eer_sd_training")


def spread(values: FloatArray, n_units: int, level: float) -> tuple[float, float]:
    """Return the interval of a mean rate: over trials, and over trainings where there are several.

    Args:
        values: (runs, 1 + resamples) fractions.
    """
    both = two_level([values], n_units)
    if both is None:
        return bootstrap.interval(values.mean(axis=0), level)
    low, high = np.clip(both.interval(level), 0, 1).tolist()
    return low, high


def _two_levels(values: FloatArray, n_units: int, level: float) -> dict[str, float]:
    """Return the interval of a mean EER over trials and trainings, and what each varies it by.

    Args:
        values: (runs, 1 + resamples).

    Returns:
        the keys of `TWO_LEVELS`, the interval cut to [0, 1]; nothing of a single run.
    """
    both = two_level([values], n_units)
    if both is None:
        return {}
    low, high = np.clip(both.interval(level), 0, 1).tolist()
    return dict(zip(TWO_LEVELS, (low, high, both.trials**0.5, both.training**0.5), strict=True))


def count_units(table: pd.DataFrame, settings: Settings) -> int:
    """Return how many units of these trials are resampled."""
    return len(table) if settings.unit == "trial" else int(table[settings.unit].nunique())


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
    """Compare the EER of every two systems on the same trials, over trials and over trainings.

    The trials are compared by a paired bootstrap, with at least as many resamples as the smallest
    p-value needs to stay below 1 - level after the correction. Trials and trainings together are
    `seeds.two_level` of the differences of trainings with the same seed.

    Args:
        systems: for each system the runs, of the same trials in the same order, a run a seed, the
            same seeds in the same order.

    Returns:
        a row a pair: first, second, difference (first minus second, a fraction); trials_low,
        trials_high, trials_p, trials_p_holm, of other trials with these trainings; low, high,
        p_value, p_holm, of other trials and other trainings, and sd_trials and sd_training, what
        each varies the difference by: NaN where there is one training. p_holm is corrected for
        the number of pairs. supported: both corrected p-values are at most 1 - level; reason: why
        it is not (one training, trials, trainings), "" where it is.
    """
    alpha = 1 - settings.level
    n_pairs = len(systems) * (len(systems) - 1) // 2
    rows = []
    if n_pairs:
        resamples = enough_resamples(settings, n_pairs)
        values = resample(systems, [EER], replace(settings, resamples=resamples))
        n_units = count_units(next(iter(systems.values()))[0], settings)
        for first, second in combinations(systems, 2):
            eers = values[first][EER.key], values[second][EER.key]
            row = compared(*eers, n_units, settings.level)
            rows.append({"first": first, "second": second, **row})
    return judged(rows, ["first", "second"], alpha)


def enough_resamples(settings: Settings, n_tests: int) -> int:
    """Return how many resamples p-values need that are corrected for so many tests."""
    return max(settings.resamples, ceil(4 * n_tests / (1 - settings.level)))


COMPARED = ("difference", "trials_low", "trials_high", "trials_p")
COMPARED_TRAININGS = ("low", "high", "p_value", "sd_trials", "sd_training")
"""Keys of `compared`, and those that several trainings add."""


def compared(first: FloatArray, second: FloatArray, n_units: int, level: float) -> dict[str, float]:
    """Compare a metric of two systems, or of one in two conditions.

    Args:
        first, second: (runs, 1 + resamples) as of `resample`, paired by training and by resample.
        n_units: number of units that were resampled.

    Returns:
        the keys of `COMPARED`, and with several runs those of `COMPARED_TRAININGS`; see
        `differences`.
    """
    trials = bootstrap.difference(first.mean(axis=0), second.mean(axis=0), level)
    ends = (trials["low"], trials["high"], trials["p_value"])
    row = dict(zip(COMPARED, (trials["difference"], *ends), strict=True))
    both = two_level([first - second], n_units)
    if both is not None:
        parts = (both.p_value, both.trials**0.5, both.training**0.5)
        row |= zip(COMPARED_TRAININGS, (*both.interval(level), *parts), strict=True)
    return row


def judged(rows: Sequence[Mapping[str, Any]], names: Sequence[str], alpha: float) -> pd.DataFrame:
    """Say which of several differences are supported, corrected for being several.

    Args:
        rows: each with `names`, what is compared, and the keys of `compared`.

    Returns:
        the rows, with trials_p_holm, p_holm, supported and reason: see `differences`.
    """
    pairs = pd.DataFrame(rows, columns=[*names, *COMPARED, *COMPARED_TRAININGS])
    by_trials = bootstrap.holm(pairs["trials_p"].tolist())
    known = not pairs["p_value"].isna().any()
    by_both = bootstrap.holm(pairs["p_value"].tolist()) if known else [np.nan] * len(pairs)
    reasons = [_reason(*p, alpha) for p in zip(by_trials, by_both, strict=True)]
    columns = list(pairs)
    pairs.insert(columns.index("trials_p") + 1, "trials_p_holm", by_trials)
    pairs.insert(columns.index("p_value") + 2, "p_holm", by_both)
    return pairs.assign(supported=[reason == "" for reason in reasons], reason=reasons)


def _reason(by_trials: float, by_both: float, alpha: float) -> str:
    """Return why a difference with these corrected p-values is not supported; "" if it is."""
    if by_trials > alpha:
        return BY_TRIALS
    if np.isnan(by_both):
        return ONE_TRAINING
    return "" if by_both <= alpha else BY_TRAININGS


def resampling(table: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Say how the intervals of some trials were made, for the record."""
    return {
        "unit": settings.unit,
        "n_units": count_units(table, settings),
        "resamples": settings.resamples,
        "level": settings.level,
        "seed": settings.seed,
    }
