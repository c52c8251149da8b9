"""Every figure of a system on a set of trials: pooled, by condition, calibrated, beside another's.

Trials are tables with the columns trial, label, score, and whatever else is known of them (speaker,
attack, codec ...). The stage `evaluate` and the commands for score files of any system both end
here. Rates are fractions; what each key means is in docs/evaluation.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from mixframe.metrics import bootstrap, detection, scorefiles
from mixframe.metrics.calibration import Affine

FEW_UNITS = 30
"""Below so many speakers percentile intervals are too narrow."""

ATTACK = "attack"
"""The condition that splits the spoofed trials only."""

UNKNOWN = ("", "-")


@dataclass(frozen=True)
class Settings:
    """How intervals are made, and what errors cost.

    Attributes:
        unit: trial, or the column whose values are drawn with all their trials.
        resamples: number of resamples.
        level: coverage of the intervals, in (0, 1).
        seed: of the resamples.
        workers: threads; they change the time only.
    """

    costs: detection.DcfCosts
    unit: str
    resamples: int
    level: float
    seed: int
    workers: int = 1


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
        the keys of `detection.PointMetrics`, means over the runs; eer_low, eer_high, min_dcf_low,
        min_dcf_high, the intervals of those means; eer_by_seed; and eer_std, the standard deviation
        of the EER over the runs, if there are several.
    """
    points = [detection.point_metrics(*scorefiles.by_class(run), settings.costs) for run in runs]
    eers = [point["eer"] for point in points]
    return {
        **pd.DataFrame(points).mean().to_dict(),
        "n_bonafide": points[0]["n_bonafide"],
        "n_spoof": points[0]["n_spoof"],
        **_intervals(runs, settings),
        **({"eer_std": float(np.std(eers, ddof=1))} if len(eers) > 1 else {}),
        "eer_by_seed": eers,
    }


def by_condition(
    runs: Sequence[pd.DataFrame], column: str, settings: Settings
) -> dict[str, dict[str, Any]]:
    """Return the figures of each value of a column.

    By attack, an attack's spoofed trials stand against all bona fide ones; by any other column both
    classes are restricted to the value.

    Returns:
        by value, sorted: eer, eer_low, eer_high, min_dcf, n_bonafide, n_spoof. Where a class has no
        trial the rates are None; where all trials are of one speaker (or what else is drawn) the
        interval is.
    """
    first = runs[0]
    values = first.loc[first["label"] == "spoof", column] if column == ATTACK else first[column]
    found = {}
    for value in sorted(values.unique()):
        inside = first[column] == value
        if column == ATTACK:
            inside |= first["label"] == "bonafide"
        found[str(value)] = _condition([run[inside.to_numpy()] for run in runs], settings)
    return found


def _condition(runs: Sequence[pd.DataFrame], settings: Settings) -> dict[str, Any]:
    n_bonafide = int((runs[0]["label"] == "bonafide").sum())
    figures: dict[str, Any] = dict.fromkeys(("eer", "eer_low", "eer_high", "min_dcf"))
    if n_bonafide and n_bonafide < len(runs[0]):
        dets = [detection.det_points(*scorefiles.by_class(run)) for run in runs]
        rates = [detection.eer_of_points(d.p_miss, d.p_fa) for d in dets]
        costs = [detection.min_dcf_of_points(d.p_miss, d.p_fa, settings.costs) for d in dets]
        figures |= {"eer": float(np.mean(rates)), "min_dcf": float(np.mean(costs))}
        if settings.unit == "trial" or runs[0][settings.unit].nunique() > 1:
            both = _intervals(runs, settings)
            figures |= {key: both[key] for key in ("eer_low", "eer_high")}
    return {**figures, "n_bonafide": n_bonafide, "n_spoof": len(runs[0]) - n_bonafide}


def groups(table: pd.DataFrame, unit: str) -> tuple[pd.Series, pd.Series] | None:
    """Return what the bona fide and what the spoof trials are drawn by; None for the trials."""
    if unit == "trial":
        return None
    spoof = table["label"] == "spoof"
    return table.loc[~spoof, unit], table.loc[spoof, unit]


def _intervals(runs: Sequence[pd.DataFrame], settings: Settings) -> dict[str, float]:
    result = bootstrap.bootstrap_mean(
        [scorefiles.by_class(run) for run in runs],
        settings.costs,
        seed=settings.seed,
        groups=groups(runs[0], settings.unit),
        resamples=settings.resamples,
        level=settings.level,
        workers=settings.workers,
    )
    return {
        "eer_low": result.eer.low,
        "eer_high": result.eer.high,
        "min_dcf_low": result.min_dcf.low,
        "min_dcf_high": result.min_dcf.high,
    }


def calibrated(
    runs: Sequence[pd.DataFrame], fitted: Sequence[Affine | None], costs: detection.DcfCosts
) -> dict[str, Any] | None:
    """Return actDCF and Cllr of calibrated scores, means over the runs.

    Args:
        fitted: the calibration of each run, as of `calibration.fit`.

    Returns:
        slope and offset, a list with a value a run; act_dcf; cllr. None if a run has no
        calibration.
    """
    known = [affine for affine in fitted if affine is not None]
    if len(known) < len(runs):
        return None
    actual, nats = [], []
    for run, affine in zip(runs, known, strict=True):
        bonafide, spoof = (affine(scores) for scores in scorefiles.by_class(run))
        actual.append(detection.act_dcf(bonafide, spoof, costs))
        nats.append(detection.cllr(bonafide, spoof))
    return {
        "slope": [affine.slope for affine in known],
        "offset": [affine.offset for affine in known],
        "act_dcf": float(np.mean(actual)),
        "cllr": float(np.mean(nats)),
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
        table = next(iter(systems.values()))[0]
        found = bootstrap.pairwise_bootstrap(
            {name: [scorefiles.by_class(run) for run in runs] for name, runs in systems.items()},
            settings.costs,
            seed=settings.seed,
            groups=groups(table, settings.unit),
            resamples=resamples,
            level=settings.level,
            workers=settings.workers,
        )
        rows = [
            (*pair, d.eer.estimate, d.eer.low, d.eer.high, d.eer.p_value)
            for pair, d in found.items()
        ]
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
