"""Recordings judged once more after distortions: does the verdict hold?"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from mixframe.audio.distortions.conditions import READY, read_conditions
from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import Waveform, encode_flac
from mixframe.audio.stream import read_whole
from mixframe.base.errors import MixframeError
from mixframe.bundle.analysis import Result, Rule, analyse
from mixframe.bundle.detector import Detector
from mixframe.bundle.inputs import shown
from mixframe.bundle.output import printable
from mixframe.experiment.project import ready

SEED = 0
"""Of what is drawn; the same for all recordings."""


class Verdict(BaseModel, frozen=True):
    """What is said of a recording under a condition; see `Result`, whose keys these are."""

    condition: str
    score: float | None
    llr: float | None
    p_spoof: float | None
    decision: str | None
    error: str | None


def chosen(text: str) -> dict[str, Distortion]:
    """Return the conditions of --under: all of a YAML file, or ready ones by name.

    Raises:
        MixframeError: there is none of this name, or the file is not one of conditions.
    """
    if text.endswith((".yaml", ".yml")):
        return read_conditions(Path(text))
    place = ready(READY)
    known = read_conditions(place)
    names = text.split(",")
    for name in names:
        if name not in known:
            raise MixframeError(
                f"{place}: no condition {name!r}; expected some of {', '.join(known)}"
            )
    return {name: known[name] for name in names}


def verdicts(
    detector: Detector,
    files: Sequence[Path],
    rule: Rule,
    conditions: Mapping[str, Distortion],
    results: Sequence[Result],
) -> dict[str, list[Verdict]]:
    """Judge recordings under conditions, each as the file of 16 bits that it would become.

    Returns:
        a verdict a condition by the name of the file; nothing of files that could not be judged.
    """
    made = {}
    for file, result in zip(files, results, strict=True):
        if result.error is None:
            wave = read_whole(file, shown(file))
            made[result.file] = [_verdict(detector, wave, rule, *c) for c in conditions.items()]
    return made


def _verdict(
    detector: Detector, wave: Waveform, rule: Rule, name: str, condition: Distortion
) -> Verdict:
    try:
        made = encode_flac(condition.apply(wave, np.random.default_rng(SEED)))
        result, _ = analyse(detector, io.BytesIO(made), name, rule)
    except MixframeError as error:
        result = Result(file=name, error=str(error))
    return Verdict(condition=name, **result.model_dump(include={*Verdict.model_fields}))


def text_of(results: Sequence[Result], under: Mapping[str, Sequence[Verdict]]) -> str:
    """Say of each file how its verdict spreads, and name the conditions that turn it."""
    lines = []
    for result in results:
        judged = [v for v in under.get(result.file, ()) if v.score is not None]
        if not judged:
            continue
        turned = [v.condition for v in judged if v.decision != result.decision]
        scores = [(v.score, v.condition) for v in judged if v.score is not None]
        (low, lowest), (high, highest) = min(scores), max(scores)
        kept = f"{len(judged) - len(turned)} of {len(judged)} conditions"
        lines.append(
            f"{printable(result.file)}: {result.decision} under {kept}; "
            f"score {low:+.2f} ({lowest}) to {high:+.2f} ({highest})"
            + (f"; turned by {', '.join(turned)}" if turned else "")
        )
    return "\n".join(lines)
