"""The Core sets of the Arena: its manifest, a preset over them, and the averages it ranks by.

The manifest is `manifest.yaml` in the data set repository arena-manifest of
SpeechAntiSpoofingBenchmarks: which data sets count, at which commits. It changes every few weeks,
so nothing of it stands in this package.
"""

import math
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ConfigDict
from ruamel.yaml import YAML

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import write_text
from mixframe.base.schema import AtLeast0, Positive, Section, validate
from mixframe.base.yamlfiles import parse_yaml, read_yaml
from mixframe.bundle.arena.submission import Repository, Text
from mixframe.bundle.arena.writing import TRAINING
from mixframe.corpora import arena as corpus
from mixframe.corpora import trials as published
from mixframe.corpora.archives import GIB
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import (
    BASE_SECTIONS,
    PRESETS,
    Grid,
    Preset,
    need_own_systems,
    need_project,
    preset_path,
    read_preset,
    validate_preset,
)
from mixframe.experiment.scored import read_trainings
from mixframe.metrics import arena
from mixframe.metrics.scorefiles import by_class

EER = "eer_percent"
CHANCE = 50.0
"""Percent that a Core set without a score counts in the pooled average."""
TRIAL_BYTES = 320_000
"""Of a trial in shard and tar together: our estimate, from the sets whose size is known."""


class _Read(Section):
    """A part of a file that others extend: keys that are not needed here are let be."""

    model_config = ConfigDict(extra="ignore")


class Entry(_Read):
    """A data set.

    Attributes:
        n_trials, metric, penalty: since version 2; penalty is what the set counts without a score.
    """

    id: Repository
    revision: Text
    n_trials: Positive | None = None
    metric: Text = EER
    penalty: AtLeast0 = CHANCE


class Tier(_Read):
    """A tier: the least share of the Core sets that a system of it has scores of."""

    name: Text
    min_coverage: float


class ArenaManifest(_Read):
    """The manifest of the Arena."""

    ranking_version: Text
    tiers: list[Tier]
    core_set: list[Entry]


def read_arena_manifest(path: Path) -> ArenaManifest:
    """Read the manifest of the Arena.

    Raises:
        MixframeError: the file is missing, not YAML, or lacks a key, named.
    """
    return validate(ArenaManifest, read_yaml(path), str(path))


def set_name(entry: Entry) -> str:
    """Return what a preset calls a data set. DVC reads a dot in a key of a preset as a path."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", entry.id.split("/")[1])


def write_preset(
    core: ArenaManifest, base: str, name: str = "arena_core", root: Path = Path()
) -> tuple[Path, list[Entry]]:
    """Write a preset that trains as another one does and evaluates on the Core sets.

    Sets without bona fide speech are left out: they have no EER.

    Args:
        base: the preset whose training, foundation model and training corpora are taken over.
        name: of the new preset.

    Returns:
        its file, and the entries that were left out.

    Raises:
        MixframeError: the preset is there already, two data sets have one name, or the manifest
            gives no full commit of one.
    """
    need_project(root)
    path = root / PRESETS / f"{name}.yaml"
    if path.exists():
        raise MixframeError(f"{path}: already there; nothing was written")
    given = read_preset(base, root)
    need_own_systems(given, base)
    entries = [entry for entry in core.core_set if entry.metric == EER]
    names = [set_name(entry) for entry in entries]
    for one in names:
        if names.count(one) > 1:
            raise MixframeError(f"core_set: {names.count(one)} data sets are called {one}")
    form, stream = YAML(), StringIO()
    values = form.load(preset_path(base, root).read_text(encoding="utf-8"))
    if given.base != base:
        theirs = form.load(preset_path(given.base, root).read_text(encoding="utf-8"))
        values.update({key: theirs[key] for key in BASE_SECTIONS})
    values["title"] = f"{given.title}, on the Core sets of the Arena"
    values["base"] = name
    values["grid"]["set"][:] = names
    values["embed"]["set"] = "dev"
    values.pop("robustness", None)
    _keep_training(values, given)
    # Each before the others, since comments of the next section hang on the last entry.
    for entry, one in reversed(list(zip(entries, names, strict=True))):
        trials = entry.n_trials or 0
        download = {
            "kind": "arena",
            "repo": entry.id,
            "revision": entry.revision,
            "path": "",
            "disk_gb": math.ceil(trials * TRIAL_BYTES / GIB),
        }
        protocol = {
            "kind": "arena",
            "set": one,
            "subsets": [],
            "trials": trials,
            "prefix": f"{one}/",
            "decode": True,
            "max_missing": 0,
        }
        values["download"].insert(0, f"arena_{one}", download)
        values["protocol"]["corpora"].insert(0, f"arena_{one}", protocol)
    form.dump(values, stream)
    # The lines above the title speak of the preset that was copied.
    text = re.sub(r"\A(#.*\n)*", "", stream.getvalue())
    text = text.replace(f"`mixframe use {base}`", f"`mixframe use {name}`")
    head = f"# {base} on the Arena's Core sets, ranking {core.ranking_version}: docs/arena.md.\n"
    validate_preset(parse_yaml(text, path), path, root)
    write_text(path, head + text)
    return path, [entry for entry in core.core_set if entry.metric != EER]


def _keep_training(values: Any, given: Preset) -> None:
    """Remove from the text of a preset the corpora, and their parts, that make no training set."""
    corpora = values["protocol"]["corpora"]
    for name, section in given.protocol.corpora.items():
        if isinstance(section, published.Protocol):
            unused = [part for part, made in section.sets.items() if made not in TRAINING]
            for part in unused:
                del corpora[name]["sets"][part]
                corpora[name]["trials"].pop(part, None)
            drop = not corpora[name]["sets"]
        else:
            drop = isinstance(section, corpus.Protocol) and section.set not in TRAINING
        if drop:
            del corpora[name], values["download"][name]


class Row(NamedTuple):
    """A set in the ranking.

    Attributes:
        trials: the weight of the set in the pooled average.
        penalty: percent that it counts there without a score.
        percent: EER by system, means over the seeds; empty without scores.
    """

    name: str
    trials: int
    penalty: float
    percent: Mapping[str, float]


def rows(preset_name: str, grid: Grid, core: ArenaManifest | None) -> list[Row]:
    """Return the Core sets, or without them the sets of a grid, with the EER of each system.

    The EER is the Arena's (`metrics.arena.eer`), of the score files themselves.

    Raises:
        MixframeError: scores are missing, or a Core set without scores has no n_trials.
    """
    preset = read_preset(preset_name)
    files = Layout(preset_name, base=preset.base, trained=preset.trained)
    table = manifest.read(files.manifest, grid.set)
    measured = {}
    for name in grid.set:
        runs = {s: read_trainings(files, table, s, name, grid.seed) for s in grid.system}
        percent = {
            system: float(np.mean([arena.eer(*by_class(run)).percent for run in trained]))
            for system, trained in runs.items()
        }
        measured[name] = Row(name, int((table["set"] == name).sum()), CHANCE, percent)
    if core is None:
        return list(measured.values())
    of_repository = {
        preset.download[name].repo: section.set
        for name, section in preset.protocol.corpora.items()
        if isinstance(section, corpus.Protocol)
    }
    ranked = []
    for entry in core.core_set:
        own = measured.get(of_repository.get(entry.id, ""))
        trials = entry.n_trials or (own.trials if own else 0)
        if not trials:
            raise MixframeError(f"core_set: {entry.id} has neither n_trials nor scores")
        ranked.append(Row(set_name(entry), trials, entry.penalty, own.percent if own else {}))
    return ranked


def averages(ranked: Sequence[Row], system: str) -> tuple[float, float]:
    """Return the averaged and the pooled EER of a system in percent.

    Averaged: the mean over the sets that have a score. Pooled: the mean over all sets, weighted by
    trials, where a set without a score counts its penalty (docs/submitting/how-ranking-works.md of
    github.com/lab260ru/speech_spoof_bench).
    """
    pooled = [row.percent.get(system, row.penalty) for row in ranked]
    own = [row.percent[system] for row in ranked if system in row.percent]
    averaged = float(np.mean(own)) if own else float("nan")
    return averaged, float(np.average(pooled, weights=[row.trials for row in ranked]))


def ranking(ranked: Sequence[Row], systems: Sequence[str], core: ArenaManifest | None) -> str:
    """Return the sets and their averages as a table in Markdown, a column a system."""
    lines = [["set", "trials", *systems], ["---"] + ["---:"] * (1 + len(systems))]
    for row in ranked:
        cells = (f"{row.percent[s]:.3f}" if s in row.percent else "-" for s in systems)
        lines.append([row.name, f"{row.trials:,}", *cells])
    both = [averages(ranked, system) for system in systems]
    lines.append(["averaged", "", *(f"{averaged:.3f}" for averaged, _ in both)])
    total = sum(row.trials for row in ranked)
    lines.append(["pooled", f"{total:,}", *(f"{pooled:.3f}" for _, pooled in both)])
    if core is not None:
        shares = [sum(s in row.percent for row in ranked) / len(ranked) for s in systems]
        lines.append(["tier, with a paper", "", *(_tier(core, share) for share in shares)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _tier(core: ArenaManifest, share: float) -> str:
    reached = [tier for tier in core.tiers if share >= tier.min_coverage]
    return max(reached, key=lambda tier: tier.min_coverage).name if reached else "-"
