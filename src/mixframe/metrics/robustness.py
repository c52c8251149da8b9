"""What distortions do to a system: figures by condition, beside those of the same trials clean.

Rates are fractions. Every figure is a mean over the trainings. What each key means is in
docs/robustness.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mixframe.metrics import evaluation
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.calibration import Affine
from mixframe.metrics.detection import FloatArray, eer_threshold
from mixframe.metrics.evaluation import ONE_TRAINING, compared, count_units, judged, spread
from mixframe.metrics.registry import EER
from mixframe.metrics.scorefiles import by_class

Scored = Mapping[str, Sequence[pd.DataFrame]]
"""By condition the scored trials, a table a training: the same trials in the same order."""


def evaluate(
    systems: Mapping[str, Scored],
    clean: str,
    fitted: Mapping[str, Sequence[Affine | None]],
    settings: Settings,
) -> dict[str, Any]:
    """Evaluate systems under conditions, all on the same resamples of the trials.

    Args:
        systems: all of the same trials, under the same conditions.
        clean: the condition that the others are held against.
        fitted: of each system the calibration of each training.

    Returns:
        conditions: by system and condition what `_condition` returns, and how the EER differs from
        clean (`evaluation.judged`, corrected for the number of conditions); systems: by system the
        clean EER, its mean over the other conditions, and the worst of them; pairs: a row every two
        systems, what `_pair` returns.
    """
    names = list(next(iter(systems.values())))
    others = [name for name in names if name != clean]
    alpha = 1 - settings.level
    resamples = evaluation.enough_resamples(settings, len(others))
    flat = {f"{s}\n{name}": runs for s, scored in systems.items() for name, runs in scored.items()}
    drawn = evaluation.resample(flat, [EER], replace(settings, resamples=resamples))
    eers = {s: {name: drawn[f"{s}\n{name}"][EER.key] for name in names} for s in systems}
    first = next(iter(systems.values()))[clean][0]
    n_units = count_units(first, settings)
    figures: dict[str, dict[str, Any]] = {}
    sums = {}
    for system, scored in systems.items():
        own = eers[system]
        figures[system] = {
            name: {
                **_rate(own[name], n_units, settings.level),
                **_condition(scored[name], scored[clean], fitted[system], settings),
            }
            for name in names
        }
        rows = [
            {"condition": name, **compared(own[name], own[clean], n_units, settings.level)}
            for name in others
        ]
        for row in judged(rows, ["condition"], alpha).to_dict("records"):
            figures[system][row.pop("condition")]["change"] = _plain(row)
        sums[system] = _summary(figures[system], own, clean, n_units, settings.level)
    pairs = [
        _pair(eers[a], eers[b], others, n_units, settings.level)
        for a, b in combinations(systems, 2)
    ]
    means = judged([pair.pop("mean") for pair in pairs], [], alpha).to_dict("records")
    return {
        "conditions": figures,
        "systems": sums,
        "pairs": [
            {"first": a, "second": b, "mean": _plain(mean), **pair}
            for (a, b), mean, pair in zip(combinations(systems, 2), means, pairs, strict=True)
        ],
    }


def _rate(values: FloatArray, n_units: int, level: float) -> dict[str, float]:
    """Return an EER of (runs, 1 + resamples) with its interval: eer, low, high."""
    low, high = spread(values, n_units, level)
    return {"eer": float(values[:, 0].mean()), "low": low, "high": high}


def _condition(
    runs: Sequence[pd.DataFrame],
    clean: Sequence[pd.DataFrame],
    fitted: Sequence[Affine | None],
    settings: Settings,
) -> dict[str, Any]:
    """Return which side breaks, and what the clean calibration costs.

    Returns:
        bonafide_shift, spoof_shift: mean change of the scores of a class, in standard deviations of
        the clean scores within their class; miss, false_alarm: rates at the threshold of the clean
        EER; act_dcf, cllr: of scores calibrated on clean dev, None where dev cannot calibrate.
    """
    sides = []
    for run, before in zip(runs, clean, strict=True):
        bonafide, spoof = by_class(run)
        clean_bonafide, clean_spoof = by_class(before)
        threshold, unit = eer_threshold(clean_bonafide, clean_spoof), deviation(before)
        sides.append(
            {
                "bonafide_shift": (bonafide.mean() - clean_bonafide.mean()) / unit,
                "spoof_shift": (spoof.mean() - clean_spoof.mean()) / unit,
                "miss": np.mean(bonafide <= threshold),
                "false_alarm": np.mean(spoof > threshold),
            }
        )
    calibrated = evaluation.calibrated(runs, fitted, settings.costs) or {}
    costs = {key: calibrated.get(key) for key in ("act_dcf", "cllr")}
    return {**pd.DataFrame(sides).mean().to_dict(), **costs}


def deviation(run: pd.DataFrame) -> float:
    """Return the standard deviation of scores within their class; 1 where nothing varies."""
    within = [values - values.mean() for values in by_class(run)]
    return float(np.concatenate(within).std()) or 1.0


def _summary(
    figures: Mapping[str, Any],
    eers: Mapping[str, FloatArray],
    clean: str,
    n_units: int,
    level: float,
) -> dict[str, Any]:
    """Return clean and mean, each with eer, low and high; and worst, with condition besides."""
    others = [name for name in eers if name != clean]
    mean = np.mean([eers[name] for name in others], axis=0)
    worst = max(others, key=lambda name: figures[name]["eer"])
    keys = ("eer", "low", "high")
    return {
        "clean": {key: figures[clean][key] for key in keys},
        "mean": _rate(mean, n_units, level),
        "worst": {"condition": worst, **{key: figures[worst][key] for key in keys}},
    }


def _pair(
    first: Mapping[str, FloatArray],
    second: Mapping[str, FloatArray],
    others: Sequence[str],
    n_units: int,
    level: float,
) -> dict[str, Any]:
    """Say whether a difference between two systems holds over the conditions.

    Returns:
        mean: of the differences over the conditions, as `compared`; lower, higher: the conditions
        under which the first one's EER is lower or higher and the difference survives the
        correction for their number, of trials and, where there are several, of trainings.
    """
    rows = [
        {"condition": name, **compared(first[name], second[name], n_units, level)}
        for name in others
    ]
    table = judged(rows, ["condition"], 1 - level)
    holds = table["reason"].isin(["", ONE_TRAINING])
    means = [np.mean([eers[name] for name in others], axis=0) for eers in (first, second)]
    return {
        "mean": compared(means[0], means[1], n_units, level),
        "lower": table.loc[holds & (table["difference"] < 0), "condition"].tolist(),
        "higher": table.loc[holds & (table["difference"] > 0), "condition"].tolist(),
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table for JSON: None for what is not known."""
    return {str(key): None if pd.isna(value) else value for key, value in row.items()}
