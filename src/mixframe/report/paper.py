"""The figures that the papers print (paper.yaml), beside those measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mixframe.base.files import read_json
from mixframe.base.schema import Section, read_yaml, validate
from mixframe.experiment.layout import Layout

PAPER = Path("paper.yaml")


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
    """

    published: Published
    measured: float | None = None
    low: float | None = None
    high: float | None = None

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


def beside(published: Sequence[Published], measured: Mapping[str, Any]) -> list[Beside]:
    """Put measured figures beside the published ones, in the order of `published`.

    Args:
        measured: content of summary.json by preset, as `summaries` returns it.
    """
    return [_beside(figure, measured) for figure in published]


def _beside(figure: Published, measured: Mapping[str, Any]) -> Beside:
    own = _figures(measured, figure.preset, figure.system, figure.set)
    if own is None:
        return Beside(figure)
    if figure.metric == "eer":
        return Beside(figure, own["eer"], own.get("eer_low"), own.get("eer_high"))
    if figure.metric == "eer_gap":
        other = _figures(measured, figure.preset, figure.system, figure.other)
        return Beside(figure, None if other is None else abs(own["eer"] - other["eer"]))
    preset, system = figure.other.split("/")
    baseline = _figures(measured, preset, system, figure.set)
    if baseline is None or baseline["eer"] == 0:
        return Beside(figure)
    return Beside(figure, 1 - own["eer"] / baseline["eer"])


def _figures(
    measured: Mapping[str, Any], preset: str, system: str, name: str
) -> dict[str, float] | None:
    summary = measured.get(preset)
    entry = summary["systems"].get(system) if summary else None
    figures: dict[str, float] | None = entry["sets"].get(name) if entry else None
    return figures
