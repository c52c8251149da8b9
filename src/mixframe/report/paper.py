"""The figures that the papers print (paper.yaml), beside those measured here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from mixframe.audio import manifest
from mixframe.base.files import read_json
from mixframe.base.schema import Section, validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import read_preset
from mixframe.experiment.scored import read_trainings, settings
from mixframe.metrics import bootstrap, evaluation, tables
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import FloatArray
from mixframe.metrics.registry import EER
from mixframe.metrics.seeds import two_level

PAPER = Path("paper.yaml")
LARGEST_RATIO = 1000.0
"""An EER so many times that of its baseline has no bounded interval."""
BISECTIONS = 40
"""Steps of the search for an end of an interval; each halves its error."""


class Figure(Section):
    """One entry of paper.yaml; see there for the meaning of `metric` and `other`."""

    system: str
    preset: str
    corpus: str
    set: str
    subset: str
    metric: Literal["eer", "eer_gap", "eer_reduction"]
    other: str
    value: Annotated[float, Field(ge=0, le=1)]
    source: str

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.metric == "eer") != (self.other == ""):
            raise ValueError(f"other = {self.other!r} does not go with metric {self.metric}")
        if self.metric == "eer_reduction" and self.other.count("/") != 1:
            raise ValueError(f"other = {self.other!r}: expected <preset>/<system>")
        return self


class _Paper(Section):
    title: str
    figures: list[Figure]


class _Papers(Section):
    papers: dict[str, _Paper]


@dataclass(frozen=True)
class Published:
    """A figure that a paper prints.

    Attributes:
        paper: key of the paper; `title` is its title.
        system, preset: what measures the same thing here.
        set: of the manifest; with metric eer_gap `other` is the second one.
        other: with metric eer_reduction the baseline, preset/system.
        value: a fraction.
    """

    paper: str
    title: str
    system: str
    preset: str
    corpus: str
    set: str
    subset: str
    metric: str
    other: str
    value: float
    source: str


@dataclass(frozen=True)
class Beside:
    """A published figure beside the measured one; None where it was not run, or has no interval.

    Attributes:
        measured, low, high, difference: fractions; difference is measured minus published.
        trained: the interval is of trials and trainings, not of trials only.
    """

    published: Published
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    trained: bool = False

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.measured is None else self.measured - self.published.value


def read(path: Path = PAPER) -> list[Published]:
    """Read paper.yaml.

    Raises:
        MixframeError: the file is missing, or has unknown, missing or wrong keys.
    """
    papers = validate(_Papers, read_yaml(path), str(path)).papers
    return [
        Published(paper=key, title=paper.title, **figure.model_dump())
        for key, paper in papers.items()
        for figure in paper.figures
    ]


def summaries(published: Sequence[Published]) -> dict[str, Any]:
    """Return summary.json of every preset that `published` needs and that has been run."""
    wanted = {p.preset for p in published}
    wanted |= {p.other.split("/")[0] for p in published if p.metric == "eer_reduction"}
    paths = {name: Layout(name).summary for name in sorted(wanted)}
    return {name: read_json(path) for name, path in paths.items() if path.is_file()}


@dataclass(frozen=True)
class Interval:
    """An interval of a figure; `trained` if it is of trials and trainings, not of trials only."""

    low: float
    high: float
    trained: bool


def intervals(
    published: Sequence[Published], measured: Mapping[str, Any]
) -> dict[Published, Interval]:
    """Return the intervals of measured gaps and reductions, from the scores of their presets.

    Those whose scores or manifests are not all there, or are of different trials, have none.

    Args:
        measured: content of summary.json by preset, as `summaries` returns it.

    Raises:
        MixframeError: a score file or a manifest that is there cannot be used.
    """
    known = {}
    for figure in published:
        if figure.metric == "eer" or _beside(figure, measured, {}).measured is None:
            continue
        own, how = _runs(figure.preset, figure.system, figure.set, measured)
        if figure.metric == "eer_gap":
            other, _ = _runs(figure.preset, figure.system, figure.other, measured)
        else:
            preset, system = figure.other.split("/")
            other, _ = _runs(preset, system, figure.set, measured)
        if not own or not other:
            continue
        if figure.metric == "eer_gap":
            known[figure] = gap(own, other, how)
        else:
            paired = figure.preset == figure.other.split("/")[0]
            reduced = reduction(own, other, how, paired)
            if reduced is not None:
                known[figure] = reduced
    return known


def _runs(
    preset: str, system: str, name: str, measured: Mapping[str, Any]
) -> tuple[list[pd.DataFrame], Settings]:
    """Return the scored trials of a system, a table a seed, and how its preset wants intervals.

    There are no tables where a file is missing.
    """
    read = read_preset(preset)
    files = Layout(preset, base=read.base)
    seeds = measured[preset]["seeds"]
    paths = [Layout(preset, seed, read.base).scores(system, name) for seed in seeds]
    how = settings(read.evaluate, read.seed)
    if not all(path.is_file() for path in (files.manifest, *paths)):
        return [], how
    table = manifest.read(files.manifest, [name])
    return read_trainings(files, table, system, name, seeds), how


def gap(first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame], how: Settings) -> Interval:
    """Return the interval of the distance between the EERs of the same trainings on two sets.

    The trials of the sets are resampled independently of each other. The interval is that of the
    signed difference without its signs: from 0 where it holds 0.

    Args:
        first, second: the runs on either set, a training a run, the same order of trainings.
    """
    # Another seed for the second set; the same draws would tie the two together.
    elsewhere = replace(how, seed=how.seed + 1)
    values = [
        evaluation.resample({"": runs}, [EER], setting)[""][EER.key]
        for runs, setting in ((first, how), (second, elsewhere))
    ]
    n_units = min(evaluation.count_units(runs[0], how) for runs in (first, second))
    low, high = _ends([values[0] - values[1]], n_units, how.level)
    ends = sorted((abs(low), abs(high)))
    return Interval(0.0 if low <= 0 <= high else ends[0], min(ends[1], 1.0), len(first) > 1)


def reduction(
    own: Sequence[pd.DataFrame], baseline: Sequence[pd.DataFrame], how: Settings, paired: bool
) -> Interval | None:
    """Return the interval of 1 - EER / EER of the baseline, on the same trials.

    By Fieller's theorem (1954, Journal of the Royal Statistical Society B 16) the interval holds
    those reductions r for which the data do not reject that EER - (1 - r) EER of the baseline is 0.

    Args:
        paired: run k of both has the same seed, as systems of one preset do.

    Returns:
        None where the trials differ, or the baseline's EER is not clearly above 0, so that there
        is no bounded interval.
    """
    names = own[0]["trial"]
    if set(names) != set(baseline[0]["trial"]):
        return None
    in_order = [run.set_index("trial").loc[names].reset_index() for run in baseline]
    if (in_order[0]["label"].to_numpy() != own[0]["label"].to_numpy()).any():
        return None
    values = evaluation.resample({"own": own, "baseline": in_order}, [EER], how)
    rates, others = (values[name][EER.key] for name in ("own", "baseline"))
    n_units = evaluation.count_units(own[0], how)

    def rejects(ratio: float) -> bool:
        scaled = ratio * others
        parts = [rates - scaled] if paired else [rates, -scaled]
        low, high = _ends(parts, n_units, how.level)
        return not low <= 0 <= high

    ratio = float(rates[:, 0].mean() / others[:, 0].mean())
    ends = _boundary(rejects, ratio, 0.0), _boundary(rejects, ratio, LARGEST_RATIO)
    if ends[1] is None:
        return None
    trained = min(len(own), len(baseline)) > 1
    return Interval(1 - ends[1], 1 - (ends[0] or 0.0), trained)


def _boundary(rejects: Callable[[float], bool], inside: float, outside: float) -> float | None:
    """Return where rejection begins between a ratio that stands and another; None if nowhere."""
    if not rejects(outside):
        return None
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejects(middle) else (middle, outside)
    return inside


def _ends(parts: Sequence[FloatArray], n_units: int, level: float) -> tuple[float, float]:
    """Return the interval over trials and trainings; over trials where one part has one run."""
    both = two_level(parts, n_units)
    if both is not None:
        return both.interval(level)
    return bootstrap.interval(np.sum([part.mean(axis=0) for part in parts], axis=0), level)


def beside(
    published: Sequence[Published],
    measured: Mapping[str, Any],
    known: Mapping[Published, Interval] | None = None,
) -> list[Beside]:
    """Put measured figures beside the published ones, in the order of `published`.

    Args:
        measured: content of summary.json by preset, as `summaries` returns it.
        known: intervals of gaps and reductions, as `intervals` returns them.
    """
    return [_beside(figure, measured, known or {}) for figure in published]


def _beside(
    figure: Published, measured: Mapping[str, Any], known: Mapping[Published, Interval]
) -> Beside:
    own = _figures(measured, figure.preset, figure.system, figure.set)
    if own is None:
        return Beside(figure)
    if figure.metric == "eer":
        low, high = tables.span(own) or (None, None)
        return Beside(figure, own["eer"], low, high, "eer_both_low" in own)
    if figure.metric == "eer_gap":
        other = _figures(measured, figure.preset, figure.system, figure.other)
        value = None if other is None else abs(own["eer"] - other["eer"])
    else:
        preset, system = figure.other.split("/")
        baseline = _figures(measured, preset, system, figure.set)
        value = 1 - own["eer"] / baseline["eer"] if baseline and baseline["eer"] else None
    interval = known.get(figure)
    if value is None or interval is None:
        return Beside(figure, value)
    return Beside(figure, value, interval.low, interval.high, interval.trained)


def _figures(
    measured: Mapping[str, Any], preset: str, system: str, name: str
) -> dict[str, float] | None:
    summary = measured.get(preset)
    entry = summary["systems"].get(system) if summary else None
    figures: dict[str, float] | None = entry["sets"].get(name) if entry else None
    return figures
