"""The figures of frame scores of any system against labels of where speech is fake.

`mixframe evaluate --frames SCORES --regions LABELS`; nothing here knows of models or presets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixframe.base.errors import MixframeError
from mixframe.metrics import evaluation, protocols
from mixframe.metrics.bootstrap import Settings, interval
from mixframe.metrics.localisation import Pieces, Timeline, nanoseconds
from mixframe.metrics.regionfiles import SECOND, FrameScores, Nonspeech, read_frames, read_regions
from mixframe.metrics.registry import EER
from mixframe.metrics.scorecard import AUTO, COSTS
from mixframe.metrics.scorefiles import named, sign_warning

LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between which utterances are grouped by their longest fake part."""
COUNTS = (1, 2, 3, 4)
"""Numbers of fake parts; the last stands for all above it too."""
COVERED = 0.1
"""Share by which frames may miss or exceed the duration of the utterances without a warning."""


@dataclass(frozen=True)
class FrameInputs:
    """What the options of the command name.

    Attributes:
        frames, regions: scores and labels; see `regionfiles`.
        resolutions: seconds of the segments.
        step: seconds from one frame to the next, of scores without starts.
        nonspeech: what non-speech between two fake stretches counts as.
        keys: what else is known of the utterances, or None.
        subset: of the keys or of a manifest; None for `eval` where there is one.
        dev: scores and labels of a development set, for the thresholds of decisions.
        min_iou: overlap from which a predicted run of segments is right, in (0, 1].
        unit: utterance, a column of the keys, or `auto` for the speaker where all have one.
    """

    frames: Path
    regions: Path
    resolutions: Sequence[float]
    step: float
    nonspeech: Nonspeech
    keys: Path | None
    subset: str | None
    dev: tuple[Path, Path] | None
    min_iou: float
    unit: str
    resamples: int
    level: float
    seed: int
    workers: int


def evaluate(inputs: FrameInputs, by: Sequence[str] = ()) -> dict[str, Any]:
    """Return every figure; docs/evaluation.md says what each key means.

    Args:
        by: columns of the keys to break the figures down by.

    Raises:
        MixframeError: a file cannot be used, scores and labels do not match, or there is no fake or
            no bona fide speech.
    """
    table, subset, warnings = _truth(inputs)
    for column in by:
        _need_column(table, column, "--by")
    scored = read_frames(inputs.frames)
    table, more = _without_lines(table, scored, inputs)
    warnings += more
    table, scored = _of_subset(table, scored, inputs, subset)
    step = nanoseconds(inputs.step, "--step")
    resolutions = {f"{r:g}": nanoseconds(r, "--resolution") for r in inputs.resolutions}
    line = Timeline(table, scored, step)
    warnings += _coverage(line, inputs)
    unit = _unit(inputs, table)
    settings = Settings(
        COSTS, unit, inputs.resamples, inputs.level, inputs.seed, max(inputs.workers, 1)
    )
    units = _numbers(table, unit)
    bootstrapped = units.max() > 0
    pieces = line.pieces
    segments = {name: line.segments(length) for name, length in resolutions.items()}
    dev = _dev(inputs, step) if inputs.dev else None
    by_resolution: dict[str, dict[str, Any]] = {}
    for name, of_length in segments.items():
        entry = {
            **_figures(of_length.pieces, units if bootstrapped else None, settings),
            "n_bonafide": int((~of_length.spoof).sum()),
            "n_spoof": int(of_length.spoof.sum()),
        }
        if dev is not None:
            threshold = dev.segments(resolutions[name]).pieces.threshold
            f1 = of_length.f1(threshold, inputs.min_iou)
            entry |= {"dev_threshold": threshold} | {
                key.replace("segment_", "run_").replace("frame_", ""): value
                for key, value in f1.items()
                if not key.startswith("n_")
            }
        by_resolution[name] = entry
    range_figures = _figures(pieces, units if bootstrapped else None, settings)
    said = sign_warning(range_figures["eer"])
    warnings += [said] if said else []
    n_units = int(units.max()) + 1
    if unit != "trial" and n_units < evaluation.FEW_UNITS:
        warnings.append(
            f"the intervals rest on {n_units} values of {unit}; below {evaluation.FEW_UNITS} they "
            "are too narrow"
        )
    return {
        "frames": str(inputs.frames),
        "regions": str(inputs.regions),
        "subset": subset,
        "n_utterances": len(table),
        "n_spoof": int((table["label"] == "spoof").sum()),
        "n_regions": int(line.n_regions.sum()),
        "n_frames": int(line.scores.size),
        "seconds": int(line.durations.sum()) / SECOND,
        "spoof_seconds": int(line.spoof.sum()) / SECOND,
        "step": inputs.step,
        "nonspeech": inputs.nonspeech,
        **{f"range_{key}": value for key, value in range_figures.items()},
        "segments": by_resolution,
        "detection": _detection(line, table, settings),
        "conditions": {c: _by_column(line, table, c, settings) for c in by},
        "resampling": {
            "unit": "utterance" if unit == "trial" else unit,
            "n_units": n_units,
            "resamples": settings.resamples,
            "level": settings.level,
            "seed": settings.seed,
        },
        "warnings": warnings,
    }


def _truth(inputs: FrameInputs) -> tuple[pd.DataFrame, str | None, list[str]]:
    """Return labels with the columns of the keys, the subset of them, and warnings."""
    table = read_regions(inputs.regions, inputs.nonspeech)
    warnings = []
    if inputs.keys is not None:
        keys = protocols.read(inputs.keys).rename(columns={"trial": "utterance"})
        known = set(keys["utterance"].tolist())
        absent = [name for name in table["utterance"] if name not in known]
        if absent:
            raise MixframeError(
                f"{inputs.regions} and {inputs.keys}: "
                + named(absent, "labelled utterances are not in the keys")
            )
        more = [c for c in keys if c == "utterance" or c not in table]
        table = table.merge(keys[more], on="utterance", how="left", validate="one_to_one")
        other = table.merge(keys[["utterance", "label"]], on="utterance")
        differ = (other["label_x"] != other["label_y"]).to_numpy()
        if differ.any():
            warnings.append(
                named(
                    table.loc[differ, "utterance"].tolist(),
                    f"labels of {inputs.keys} are not those of the regions, which count",
                )
            )
    if "subset" not in table:
        if inputs.subset not in (None, protocols.EVERY):
            raise MixframeError(f"{inputs.regions}: --subset {inputs.subset}: no subsets are known")
        return table, None, warnings
    subsets = sorted(table["subset"].unique())
    subset = inputs.subset or (
        protocols.PUBLISHED if protocols.PUBLISHED in subsets else protocols.EVERY
    )
    if subset != protocols.EVERY and subset not in subsets:
        raise MixframeError(
            f"{inputs.regions}: --subset {subset}: expected one of {', '.join(subsets)}, or "
            f"{protocols.EVERY}"
        )
    return table, None if subset == protocols.EVERY else subset, warnings


def _without_lines(
    table: pd.DataFrame, scored: FrameScores, inputs: FrameInputs
) -> tuple[pd.DataFrame, list[str]]:
    """Add utterances that RTTM has no line of: nothing in them is fake."""
    if (table["duration"] > 0).any():
        return table, []
    known = set(table["utterance"].tolist())
    absent = [name for name in scored.utterances if name not in known]
    if not absent:
        return table, []
    clean = pd.DataFrame({"utterance": absent, "label": "bonafide", "duration": 0})
    clean["regions"] = [[] for _ in absent]
    text = f"scored utterances have no line in {inputs.regions} and count as bona fide"
    return pd.concat([table, clean], ignore_index=True), [named(absent, text)]


def _of_subset(
    table: pd.DataFrame, scored: FrameScores, inputs: FrameInputs, subset: str | None
) -> tuple[pd.DataFrame, FrameScores]:
    """Return labels and scores without those of other subsets."""
    if subset is None:
        return table, scored
    inside = table["subset"] == subset
    others = set(table.loc[~inside, "utterance"].tolist())
    kept = np.array([name not in others for name in scored.utterances], dtype=bool)
    names = [name for name, keep in zip(scored.utterances, kept, strict=True) if keep]
    if not names:
        raise MixframeError(f"{inputs.frames}: no scores of the subset {subset}")
    rows = np.repeat(kept, scored.counts)
    starts = None if scored.starts is None else scored.starts[rows]
    of_subset = FrameScores(names, scored.counts[kept], starts, scored.scores[rows])
    return table[inside].reset_index(drop=True), of_subset


def _coverage(line: Timeline, inputs: FrameInputs) -> list[str]:
    if abs(line.coverage - 1) <= COVERED:
        return []
    return [
        f"the frames of {inputs.frames} last {100 * line.coverage:.0f} % of the utterances' "
        f"duration at a step of {inputs.step:g} s; is --step right?"
    ]


def _unit(inputs: FrameInputs, table: pd.DataFrame) -> str:
    """Return `trial` or a column of the table."""
    if inputs.unit == AUTO:
        return evaluation.unit_of(table)
    if inputs.unit in ("utterance", "trial"):
        return "trial"
    _need_column(table, inputs.unit, "--unit")
    return inputs.unit


def _need_column(table: pd.DataFrame, column: str, option: str) -> None:
    known = [c for c in table if c not in ("utterance", "label", "duration", "regions")]
    if column not in known:
        expected = f"one of {', '.join(known)}" if known else "--keys that have it"
        raise MixframeError(f"{option} {column}: no such column; expected {expected}")


def _numbers(table: pd.DataFrame, unit: str) -> np.ndarray:
    if unit == "trial":
        # In the order of the names, so that results do not depend on that of the lines.
        return np.argsort(np.argsort(table["utterance"].to_numpy(str), kind="stable"))
    return pd.factorize(table[unit].astype(str).to_numpy(object), sort=True)[0]


def _dev(inputs: FrameInputs, step: int) -> Timeline:
    assert inputs.dev is not None
    frames, regions = inputs.dev
    of_dev = replace(inputs, frames=frames, regions=regions, keys=None, subset=None)
    table = read_regions(regions, inputs.nonspeech)
    scored = read_frames(frames)
    table, _ = _without_lines(table, scored, of_dev)
    return Timeline(table, scored, step)


def _figures(pieces: Pieces, units: np.ndarray | None, settings: Settings) -> dict[str, Any]:
    figures: dict[str, Any] = {"eer": pieces.eer, "eer_low": None, "eer_high": None}
    if units is not None:
        values = pieces.resample(units, settings)
        figures["eer_low"], figures["eer_high"] = interval(values, settings.level)
    return {**figures, "eer_threshold": pieces.threshold}


def _detection(line: Timeline, table: pd.DataFrame, settings: Settings) -> dict[str, Any] | None:
    """Return the EER of utterances by their lowest score, pooled and by what is fake in them."""
    bonafide = (table["label"] == "bonafide").to_numpy()
    if not bonafide.any() or bonafide.all():
        return None
    trials = table.rename(columns={"utterance": "trial"}).assign(score=line.lowest)
    pooled = evaluation.pooled([trials], settings)
    longest, n_regions = line.longest / SECOND, line.n_regions
    edges = (0.0, *LENGTHS, np.inf)
    names = [
        f"{low:g} to {high:g} s" if high < np.inf else f"{low:g} s or more"
        for low, high in pairwise(edges)
    ]
    lengths = np.array(names)[np.searchsorted(LENGTHS, longest, side="right")]
    counts = np.array(
        [str(n) if n < COUNTS[-1] else f"{COUNTS[-1]} or more" for n in n_regions.tolist()]
    )
    kept = ("eer", "eer_low", "eer_high")
    return {
        **{key: pooled[key] for key in (*kept, "eer_threshold", "n_bonafide", "n_spoof")},
        "by_longest_region": _groups(trials, lengths, names, settings),
        "by_number_of_regions": _groups(
            trials, counts, [*map(str, COUNTS[:-1]), f"{COUNTS[-1]} or more"], settings
        ),
    }


def _groups(
    trials: pd.DataFrame, groups: np.ndarray, order: Sequence[str], settings: Settings
) -> dict[str, Any]:
    """Return the EER of the spoofed utterances of each group against all bona fide ones."""
    figures = evaluation.by_condition(
        [trials.assign(**{evaluation.ATTACK: groups})], evaluation.ATTACK, settings
    )
    keys = ("eer", "eer_low", "eer_high", "n_spoof")
    return {name: {key: figures[name][key] for key in keys} for name in order if name in figures}


def _by_column(
    line: Timeline, table: pd.DataFrame, column: str, settings: Settings
) -> dict[str, Any]:
    """Return the range-based EER of each value of a column, of an attack beside all bona fide."""
    attack = column == evaluation.ATTACK
    bonafide = (table["label"] == "bonafide").to_numpy()
    values = table.loc[~bonafide, column] if attack else table[column]
    figures = {}
    for value in sorted(values.astype(str).unique()):
        inside = (table[column].astype(str) == value).to_numpy()
        inside = inside | (bonafide & attack)
        entry: dict[str, Any] = {"eer": None, "eer_low": None, "eer_high": None}
        pieces = line.pieces_of(inside)
        if pieces is not None:
            units = _numbers(table[inside], settings.unit)
            entry = _figures(pieces, units if units.max() > 0 else None, settings)
        n_spoof = int((inside & ~bonafide).sum())
        figures[value] = {**entry, "n_bonafide": int(inside.sum()) - n_spoof, "n_spoof": n_spoof}
    return figures


def text(figures: dict[str, Any]) -> str:
    """Return the figures as a plain table; rates in percent."""
    how = figures["resampling"]
    unit = how["unit"] + ("" if how["unit"] == "utterance" else f" ({how['n_units']:,})")
    about = [
        ["frames", figures["frames"]],
        ["regions", figures["regions"] + (f", {figures['subset']}" if figures["subset"] else "")],
        ["speech", f"{figures['n_utterances']:,} utterances, {figures['seconds'] / 3600:.2f} h"],
        [
            "fake",
            f"{figures['n_regions']:,} regions in {figures['n_spoof']:,} utterances, "
            f"{figures['spoof_seconds'] / 3600:.2f} h",
        ],
        [
            "intervals",
            f"{100 * how['level']:g} %, {how['resamples']:,} resamples by {unit}, "
            f"seed {how['seed']}",
        ],
    ]
    decided = any("f1" in entry for entry in figures["segments"].values())
    head = ["", "EER, %", "interval", *(("precision", "recall", "F1") if decided else ())]
    whole = {key: figures[f"range_{key}"] for key in ("eer", "eer_low", "eer_high")}
    rows = [head, ["by duration (range)", *_rate(whole), *([""] * 3 if decided else ())]]
    for name, entry in figures["segments"].items():
        decisions = [EER.write(entry.get(key)) for key in ("precision", "recall", "f1")]
        rows.append([f"segments of {name} s", *_rate(entry), *(decisions if decided else ())])
    if figures["detection"]:
        rest = [""] * 3 if decided else []
        rows.append(["utterances, lowest score", *_rate(figures["detection"]), *rest])
    blocks = [_aligned(about), _aligned(rows)]
    groups = figures["detection"] or {}
    for key, title in (
        ("by_longest_region", "longest fake region"),
        ("by_number_of_regions", "fake regions"),
    ):
        if groups.get(key):
            listed = [[title, "spoof", "utterance EER, %", "interval"]]
            for name, entry in groups[key].items():
                listed.append([name, f"{entry['n_spoof']:,}", *_rate(entry)])
            blocks.append(_aligned(listed))
    for column, values in figures["conditions"].items():
        listed = [[column, "bona fide", "spoof", "EER by duration, %", "interval"]]
        for name, entry in values.items():
            numbers = [f"{entry[key]:,}" for key in ("n_bonafide", "n_spoof")]
            listed.append([name, *numbers, *_rate(entry)])
        blocks.append(_aligned(listed))
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _rate(entry: dict[str, Any]) -> list[str]:
    low, high = entry["eer_low"], entry["eer_high"]
    return [EER.write(entry["eer"]), "" if low is None else EER.span(low, high)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells in columns, the first to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if i and len(rows[0]) > 2 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
