"""The graph of dvc.yaml's stage templates, and where to draw its nodes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from mixframe.base.errors import MixframeError
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment.templates import CODE, paths

Place = tuple[float, int]
"""x in units of one node, and layer, counted from 0."""

SWEEPS = 8
"""Passes that order the nodes of neighbouring layers; more change nothing at this size."""


@dataclass(frozen=True)
class Stage:
    """A stage template.

    Attributes:
        command: with the names of matrix dimensions in capitals where their values go.
        over: matrix dimensions that may have several values, the preset left out.
    """

    name: str
    command: str
    over: tuple[str, ...]


@dataclass(frozen=True)
class Edge:
    """A stage that needs another one's output.

    Attributes:
        path: the dependency, the first one if there are several.
        implied: a way through further stages joins both as well.
    """

    source: str
    target: str
    path: str
    implied: bool


@dataclass(frozen=True)
class Pipeline:
    """Stages in the order of the file, and their edges."""

    stages: list[Stage]
    edges: list[Edge]


def read_pipeline(path: Path) -> Pipeline:
    """Read the stages of a dvc.yaml, with an edge wherever an output is a dependency.

    `${...}` in a path stands for any text, so a stage template is one node however many cells it
    has. The stages that take hashes of code are left out: every other one reads what they write.

    Raises:
        MixframeError: no such file, not YAML, no stages, or a circle of stages.
    """
    content = read_yaml(path)
    templates = content.get("stages") if isinstance(content, dict) else None
    if not templates:
        raise MixframeError(f"{path}: no 'stages', expected a DVC pipeline")
    shown = {name: stage for name, stage in templates.items() if name not in CODE}
    bodies = {name: stage.get("do", stage) for name, stage in shown.items()}
    needed: dict[tuple[str, str], str] = {}
    for source, maker in bodies.items():
        outputs = list(paths(maker, "outs", "metrics", "plots"))
        for target, reader in bodies.items():
            shared = [d for d in paths(reader, "deps") if any(_meet(d, o) for o in outputs)]
            if shared and target != source:
                needed[source, target] = shared[0]
    after = {name: {target for source, target in needed if source == name} for name in bodies}
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise MixframeError(
            f"{path}: the stages depend on each other in a circle: {circle}"
        ) from None
    return Pipeline(
        [
            Stage(name, _command(body.get("cmd", "")), tuple(_over(templates[name])))
            for name, body in bodies.items()
        ],
        [
            Edge(source, target, dependency, target in _beyond(after, after[source]))
            for (source, target), dependency in needed.items()
        ],
    )


def _beyond(after: dict[str, set[str]], names: set[str]) -> set[str]:
    """Return every stage that comes after one of these."""
    nearest = {target for name in names for target in after[name]}
    return nearest | _beyond(after, nearest) if nearest else set()


def _over(stage: dict[str, Any]) -> Iterable[str]:
    for name, values in stage.get("matrix", {}).items():
        single = isinstance(values, list) and len(values) == 1
        if name != "preset" and not single:
            yield name


def _command(command: str | list[str]) -> str:
    text = command if isinstance(command, str) else " && ".join(command)
    return re.sub(r"\$\{item\.(\w+)\}", lambda match: match[1].upper(), text)


def _meet(dependency: str, output: str) -> bool:
    """Tell whether one path can be the other, or a folder that holds it."""
    pairs = zip(_pattern(dependency).split("/"), _pattern(output).split("/"), strict=False)
    return all(fnmatchcase(a, b) or fnmatchcase(b, a) for a, b in pairs)


def _pattern(path: str) -> str:
    return re.sub(r"\$\{[^}]*\}", "*", path).rstrip("/")


def layout(pipeline: Pipeline) -> tuple[dict[str, Place], list[list[Place]]]:
    """Place the stages in layers, dependencies first, along the edges that are not implied.

    An edge that spans several layers passes each one between them at a place of its own, so that it
    runs past the nodes there; the places of a layer are ordered by the mean place of their
    neighbours (Sugiyama et al., 1981).

    Returns:
        the place of every stage; and for every such edge the places it passes, both ends included.
    """
    drawn = [(edge.source, edge.target) for edge in pipeline.edges if not edge.implied]
    before = {stage.name: {a for a, b in drawn if b == stage.name} for stage in pipeline.stages}
    layer: dict[Any, int] = {}
    for name in TopologicalSorter(before).static_order():
        layer[name] = max((layer[source] + 1 for source in before[name]), default=0)
    layer = {name: layer[name] for name in before}
    links: list[tuple[Any, Any]] = []
    ways: list[list[Any]] = []
    for source, target in drawn:
        between = [(source, target, step) for step in range(layer[source] + 1, layer[target])]
        layer |= {place: place[2] for place in between}
        ways.append([source, *between, target])
        links += pairwise(ways[-1])
    rows: list[list[Any]] = [[] for _ in range(max(layer.values()) + 1)]
    for name, row in layer.items():
        rows[row].append(name)
    x = {name: at for row in rows for name, at in _centred(row)}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for members in rows if down else rows[::-1]:
            wish = {}
            for name in members:
                near = [x[a] for a, b in links if b == name] if down else []
                near += [] if down else [x[b] for a, b in links if a == name]
                wish[name] = fmean(near or [x[name]])
            members.sort(key=wish.__getitem__)
            x |= dict(_centred(members))
    places = {stage.name: (x[stage.name], layer[stage.name]) for stage in pipeline.stages}
    return places, [[(x[step], layer[step]) for step in way] for way in ways]


def _centred(row: Sequence[Any]) -> Iterable[tuple[Any, float]]:
    for index, name in enumerate(row):
        yield name, index - (len(row) - 1) / 2
