"""The figures of score files of any system, without a preset: `mixframe evaluate` and `compare`.

Nothing here knows of models; a score file and keys are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixframe.base.errors import MixframeError
from mixframe.metrics import bootstrap, calibration, evaluation
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts, Sample, TdcfCosts, eer_official_sort, min_tdcf
from mixframe.metrics.evaluation import BRIEF, FEW_UNITS, RESAMPLED
from mixframe.metrics.protocols import AsvScores, Trials, join
from mixframe.metrics.registry import EER, INTERVAL, METRICS, Metric, point_metrics
from mixframe.metrics.scorefiles import by_class, sign_warning

COSTS = DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)
"""Of the ASVspoof 5 evaluation plan."""
TDCF = TdcfCosts(
    p_spoof=0.05, p_tar=0.95 * 0.99, p_non=0.95 * 0.01, c_miss=1, c_fa=10, c_fa_spoof=10
)
"""Of the ASVspoof 2019 and 2021 evaluation plans."""
AUTO = "auto"
"""In place of a unit: speaker where every trial has one, else trial."""


@dataclass(frozen=True)
class Inputs:
    """What the keys option and those beside it name.

    Attributes:
        subset: of the keys; None for `eval` where the keys have it.
        unit: trial, speaker, another column of the keys, or `auto`.
    """

    keys: Path
    subset: str | None
    unit: str
    resamples: int
    level: float
    seed: int
    workers: int

    def settings(self, trials: Trials) -> Settings:
        """Return the settings for these trials.

        Raises:
            MixframeError: the unit is no column of the keys.
        """
        unit = evaluation.unit_of(trials.table) if self.unit == AUTO else self.unit
        _check_columns([unit] if unit != "trial" else [], trials, self.keys, "--unit")
        return Settings(COSTS, unit, self.resamples, self.level, self.seed, self.workers)


def _check_columns(columns: Sequence[str], trials: Trials, path: Path, option: str) -> None:
    known = [c for c in trials.table if c not in ("trial", "label", "score")]
    for column in columns:
        if column not in known:
            expected = f"one of {', '.join(known)}" if known else "keys that say more than labels"
            raise MixframeError(f"{path}: {option} {column}: no such column; expected {expected}")


def evaluate(
    scores: Path,
    inputs: Inputs,
    by: Sequence[str] = (),
    asv: AsvScores | None = None,
    dev: tuple[Path, Path] | None = None,
) -> dict[str, Any]:
    """Return every figure of a score file; docs/evaluation.md says what each key means.

    Args:
        by: columns of the keys to break the figures down by.
        asv: scores of a speaker verification system, for the min t-DCF.
        dev: scores and keys of a development set, for the calibration.

    Raises:
        MixframeError: a file cannot be used, or scores and keys do not match.
    """
    trials = join(scores, inputs.keys, inputs.subset)
    settings = inputs.settings(trials)
    _check_columns(by, trials, inputs.keys, "--by")
    table = trials.table
    bonafide, spoof = by_class(table)
    figures = evaluation.pooled([table], settings)
    del figures["eer_by_seed"]
    official = eer_official_sort(bonafide, spoof)
    if official != figures["eer"]:
        figures["eer_official_sort"] = official
    if asv is not None:
        figures["min_tdcf"] = min_tdcf(bonafide, spoof, asv.target, asv.nontarget, asv.spoof, TDCF)
    if dev is not None:
        fitted = calibration.fit(*by_class(join(*dev).table))
        calibrated = evaluation.calibrated([table], [fitted], COSTS)
        if calibrated:
            calibrated |= {key: calibrated[key][0] for key in ("slope", "offset")}
        figures["calibrated"] = calibrated
    resampling = evaluation.resampling(table, settings)
    return {
        "scores": str(scores),
        "keys": str(inputs.keys),
        "subset": trials.subset,
        "n_keys": trials.n_keys,
        **figures,
        "resampling": resampling,
        "conditions": {c: evaluation.by_condition([table], c, settings) for c in by},
        "warnings": _warnings([figures["eer"]], resampling),
    }


def _warnings(eers: Sequence[float], resampling: dict[str, Any]) -> list[str]:
    said = [warning for eer in eers if (warning := sign_warning(eer))]
    unit, n_units = resampling["unit"], resampling["n_units"]
    if unit != "trial" and n_units < FEW_UNITS:
        said.append(
            f"the intervals rest on {n_units} values of {unit}; below {FEW_UNITS} they are "
            "too narrow"
        )
    return said


def compare(first: Path, second: Path, inputs: Inputs) -> dict[str, Any]:
    """Return the differences of two score files on the same trials, first minus second.

    Raises:
        MixframeError: a file cannot be used, or scores and keys do not match.
    """
    joined = [join(path, inputs.keys, inputs.subset) for path in (first, second)]
    settings = inputs.settings(joined[0])
    tables = [trials.table for trials in joined]
    values = evaluation.resample({"first": tables[:1], "second": tables[1:]}, RESAMPLED, settings)
    points = [point_metrics(Sample(*by_class(table)), COSTS) for table in tables]
    differences = {}
    for key in (metric.key for metric in RESAMPLED):
        pair = values["first"][key][0], values["second"][key][0]
        compared = bootstrap.difference(*pair, settings.level)
        differences[key] = {
            "first": points[0][key],
            "second": points[1][key],
            **compared,
            "supported": compared["p_value"] <= 1 - settings.level,
        }
    resampling = evaluation.resampling(tables[0], settings)
    return {
        "first": str(first),
        "second": str(second),
        "keys": str(inputs.keys),
        "subset": joined[0].subset,
        "n_keys": joined[0].n_keys,
        "n_bonafide": points[0]["n_bonafide"],
        "n_spoof": points[0]["n_spoof"],
        **differences,
        "resampling": resampling,
        "warnings": _warnings([point["eer"] for point in points], resampling),
    }


def _about(figures: dict[str, Any], files: Sequence[tuple[str, str]]) -> list[str]:
    """Return the lines that say what was evaluated and how the intervals were made."""
    how = figures["resampling"]
    n_trials = figures["n_bonafide"] + figures["n_spoof"]
    part = (
        f", subset {figures['subset']} ({n_trials:,} of {figures['n_keys']:,} trials)"
        if figures["subset"]
        else ""
    )
    units = "" if how["unit"] == "trial" else f" ({how['n_units']:,})"
    return [
        *(f"{name:<10}{path}" for name, path in files),
        f"{'keys':<10}{figures['keys']}{part}",
        f"{'trials':<10}{figures['n_bonafide']:,} bona fide, {figures['n_spoof']:,} spoof",
        f"{'intervals':<10}{100 * how['level']:g} %, {how['resamples']:,} resamples by "
        f"{how['unit']}{units}, seed {how['seed']}",
    ]


def evaluation_text(figures: dict[str, Any]) -> str:
    """Return the figures of `evaluate` as a plain table; rates in percent."""
    rows = [
        [metric.title(), metric.write(figures[metric.key]), _span(metric, figures)]
        for metric in METRICS
        if metric.name
    ]
    if "eer_official_sort" in figures:
        name = "EER with ties as the official scripts sort them, %"
        rows.insert(1, [name, EER.write(figures["eer_official_sort"]), ""])
    if "min_tdcf" in figures:
        rows.append(["min t-DCF", f"{figures['min_tdcf']:.4f}", ""])
    if "calibrated" in figures:
        after = figures["calibrated"] or {}
        rows += [
            [metric.title("calibrated"), metric.write(after.get(metric.key)), ""]
            for metric in METRICS
            if metric.calibrated
        ]
    blocks = [_about(figures, [("scores", figures["scores"])]), _columns(rows, left=(0, 2))]
    for column, values in figures["conditions"].items():
        entries = values.values()
        columns = [
            [column, *values],
            ["bona fide", *(f"{entry['n_bonafide']:,}" for entry in entries)],
            ["spoof", *(f"{entry['n_spoof']:,}" for entry in entries)],
        ]
        for metric in BRIEF:
            columns.append(
                [metric.title(), *(metric.write(entry[metric.key]) for entry in entries)]
            )
            if metric.brief == INTERVAL:
                columns.append(["interval", *(_span(metric, entry) for entry in entries)])
        blocks.append(_columns(list(zip(*columns, strict=True)), left=(0,)))
    return "\n\n".join("\n".join(lines) for lines in blocks)


def comparison_text(figures: dict[str, Any]) -> str:
    """Return the figures of `compare` as a plain table; rates in percent."""
    rows = [["", "first", "second", "difference", "interval", "p"]]
    for metric in RESAMPLED:
        entry = figures[metric.key]
        numbers = [metric.write(entry[key]) for key in ("first", "second", "difference")]
        span = metric.span(entry["low"], entry["high"])
        rows.append([metric.title(), *numbers, span, f"{entry['p_value']:.4f}"])
    entry, level = figures["eer"], figures["resampling"]["level"]
    lower = "first" if entry["difference"] < 0 else "second"
    verdict = (
        f"The EER of the {lower} system is lower (p at most {1 - level:.2g})."
        if entry["supported"]
        else f"These trials do not tell the two EERs apart (p above {1 - level:.2g})."
    )
    files = [("first", figures["first"]), ("second", figures["second"])]
    blocks = [_about(figures, files), _columns(rows, left=(0,)), [verdict]]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _span(metric: Metric, figures: dict[str, Any]) -> str:
    """Write the interval of a metric, if there is one."""
    low, high = (figures.get(f"{metric.key}_{end}") for end in ("low", "high"))
    return "" if low is None or high is None else metric.span(low, high)


def _columns(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Align cells in columns, those of `left` to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
