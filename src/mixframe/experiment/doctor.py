"""Whether a preset can run on this machine, and how long it will take there.

The forecast runs training steps and scoring of each kind of cell (`mixframe.experiment.rehearsal`)
and multiplies. Cells and their commands are those of dvc.yaml.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, AudioRef
from mixframe.base import hardware
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json, write_text
from mixframe.base.folders import data_root
from mixframe.base.progress import log
from mixframe.base.schema import Section
from mixframe.corpora.demo import corpus as demo
from mixframe.corpora.demo import signal
from mixframe.corpora.demo.attacks import analysis, needs_target
from mixframe.corpora.demo.attacks.context import Context
from mixframe.experiment import code, dag, machine
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import (
    Choice,
    Preset,
    check_grid,
    choice_of,
    read_choice,
    read_preset,
)
from mixframe.experiment.rehearsal import Limits, Rehearsal, Speed, noise_corpus
from mixframe.experiment.robustness import ITSELF, Robustness, need
from mixframe.experiment.sizes import foundation_config
from mixframe.models.params import Hub
from mixframe.training.params import Scratch, UtteranceTraining

SECONDS = {"asvspoof5": 7.8}
"""Mean length of an utterance in a published corpus: the bytes of its archives by its trials, at 18
kB of FLAC a second."""

SECONDS_ELSEWHERE = 3.5
"""As in ASVspoof 2019 LA."""

BONAFIDE = 0.15
"""Share of bona fide utterances taken for a corpus that has not been read."""

GROUPS = 10
"""Attacks and bona fide speech in the set of stage embed, where the corpus has not been read."""

WATTS_A_CORE = 15.0

BACKWARD = 3.0
"""Scores in the time of which a system that does not learn in steps gives a gradient."""

NOT_MEASURED = "not measured"

TORCH, NO_TORCH = "with torch", "without torch"

STARTED = {
    TORCH: "mixframe.stages.finetune, mixframe.training.systems.neural, mixframe.models.backbone",
    NO_TORCH: "mixframe.stages.evaluate",
}
"""What the process of a stage imports before it works."""


class SetSize(NamedTuple):
    """How many utterances a set has."""

    bonafide: float
    spoof: float

    @property
    def total(self) -> float:
        """Of both classes."""
        return self.bonafide + self.spoof


@dataclass(frozen=True)
class Sizes:
    """What there is to hear.

    Attributes:
        sets: by name.
        samples: lengths at 16 kHz that stand for all.
        groups: attacks and bona fide speech.
        source: where all of this is from, for people.
    """

    sets: dict[str, SetSize]
    samples: list[int]
    groups: int
    source: str

    def of(self, name: str) -> SetSize:
        """Return the size of a set; none where it is not known."""
        return self.sets.get(name, SetSize(0, 0))


@dataclass(frozen=True)
class Row:
    """The cells of one stage and one system.

    Attributes:
        seconds: of all of them together, without the start of their processes.
        train_rate, score_rate: utterances a second; 0 where the cell has nothing of the kind.
        memory_gib: most memory held; 0 where it was not measured.
        share: of the rate of a plain matrix product, while training on a GPU; else None.
        source: measured, an earlier run, or nothing.
    """

    cell: str
    cells: int
    seconds: float
    train_rate: float
    score_rate: float
    memory_gib: float
    share: float | None
    source: str


@dataclass(frozen=True)
class Forecast:
    """What a preset will take, one cell after another.

    Attributes:
        start: seconds in which the process of a cell starts, with torch and without.
        hours: of all cells together, each in a process of its own.
        warm_hours: of all cells together where one process imports for all (`mixframe warm`).
        watts: taken for the energy.
        notes: what was assumed.
    """

    rows: list[Row]
    start: dict[str, float]
    hours: float
    warm_hours: float
    watts: float
    bottleneck: str
    notes: list[str]

    @property
    def kilowatt_hours(self) -> float:
        """Energy of the whole run."""
        return self.hours * self.watts / 1000


def machine_lines(compute: Compute) -> list[str]:
    """Describe this machine, a line a thing."""
    cards = hardware.gpus()
    lines = [
        f"{hardware.cpu_name()}, {hardware.cores()} cores, "
        f"{hardware.memory_gib():.1f} GiB of memory",
        f"{hardware.free_disk_gib(Path()):.0f} GiB free here, "
        f"{hardware.free_disk_gib(data_root()):.0f} GiB for corpora in {data_root()}/",
    ]
    for card in cards:
        power = f", {card.watts:.0f} W" if card.watts else ""
        lines.append(f"{card.name}, {card.memory_gib:.0f} GiB, driver {card.driver}{power}")
    if not cards:
        lines.append("no GPU: everything is computed on the CPU")
    elif not _on_gpu(compute):
        lines.append("the GPU is not used: compute.device says so, or torch does not see it")
    lines.append(machine.verdict(machine.fingerprint()))
    if (load := hardware.load()) > hardware.cores() / 2:
        lines.append(
            f"load {load:.1f}: other programs compute, and a forecast is of what they leave"
        )
    return lines


def _on_gpu(compute: Compute) -> bool:
    import torch

    return compute.device != "cpu" and torch.cuda.is_available()


def preset_lines(preset: Preset, files: Layout) -> list[str]:
    """Say of each corpus and of the foundation model whether it is there, and what is missing."""
    lines = []
    if files.manifest.is_file():
        lines.append(f"corpus: there, {files.manifest}")
    else:
        for name, section in preset.download.items():
            lines.append(f"corpus {name}: {_corpus_state(name, section)}")
    lines.append(f"foundation model: {_weights_state(preset, files)}")
    return lines


def _corpus_state(name: str, section: Any) -> str:
    folder = data_root() / name
    given = getattr(section, "path", "") or getattr(section, "folder", "")
    if given:
        there = (data_root() / given).exists()
        return f"{given}: {'there' if there else 'no such folder'}"
    needed = getattr(section, "disk_gb", 0)
    here = _bytes_below(folder) / hardware.GIB
    if here:
        state = f"{here:.1f} GiB in {folder}/"
        if here >= 0.9 * needed:
            return f"there, {state}"
        state = f"{state}, the rest is to be fetched"
    else:
        state = f"not there, to be fetched into {folder}/"
    free = hardware.free_disk_gib(folder)
    if needed - here > free:
        return f"{state}: {needed} GiB, and THE DISK HAS {free:.0f} GiB"
    return f"{state}: {needed} GiB of {free:.0f} GiB free" if needed else state


def _bytes_below(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _weights_state(preset: Preset, files: Layout) -> str:
    section = preset.pretrain
    if isinstance(section, Scratch):
        return "trained here"
    if (files.foundation / "model.safetensors").is_file():
        return f"there, {files.foundation}/"
    if isinstance(section, Hub):
        from huggingface_hub import try_to_load_from_cache

        cached = [
            try_to_load_from_cache(section.name, name, revision=section.revision)
            for name in ("model.safetensors", "pytorch_model.bin")
        ]
        if any(isinstance(path, str) for path in cached):
            return f"{section.name}: in the cache of the hub"
        return f"{section.name}: not there, to be fetched from the hub"
    path = Path(section.path)
    return f"{path}: {'there' if (path / 'config.json').is_file() else 'no such model'}"


def sizes(preset: Preset, files: Layout, seconds: float | None = None) -> Sizes:
    """Return what a preset has to hear: from its manifest, else from what its sections say.

    Args:
        seconds: mean length of an utterance where there is no manifest; None for a guess.
    """
    if files.manifest.is_file():
        table = manifest.read(files.manifest)
        bonafide = table["label"] == "bonafide"
        sets = {
            str(name): SetSize(int(bonafide[rows].sum()), int((~bonafide[rows]).sum()))
            for name, rows in table.groupby("set").groups.items()
        }
        lengths = np.sort(table["samples"].to_numpy())
        middle = (np.arange(64) + 0.5) / 64 * len(lengths)
        drawn = [int(lengths[int(i)]) for i in middle]
        groups = int(table["attack"].nunique())
        return Sizes(sets, drawn, groups, f"{len(table):,} utterances of {files.manifest}")
    sets, means = {}, []
    for section in preset.protocol.corpora.values():
        expected = dict(_expected(section))
        sets |= expected
        n = sum(size.total for size in expected.values())
        means.append((n, seconds or _mean_seconds(section)))
    total = sum(n for n, _ in means)
    mean = sum(n * s for n, s in means) / total if total else seconds or SECONDS_ELSEWHERE
    lengths = np.linspace(0.5, 1.5, 64) * mean * SAMPLE_RATE
    source = f"{total:,.0f} utterances that the preset expects, taken as {mean:.1f} s each"
    if any(not isinstance(s, demo.Protocol) for s in preset.protocol.corpora.values()):
        source += f", {BONAFIDE:.0%} of them bona fide where it does not say"
    return Sizes(sets, [int(n) for n in lengths], GROUPS, source)


def _mean_seconds(section: Any) -> float:
    if isinstance(section, demo.Protocol):
        return (section.pieces.min_seconds + section.pieces.max_seconds) / 2
    return SECONDS.get(section.kind, SECONDS_ELSEWHERE)


def _expected(section: Any) -> Iterator[tuple[str, SetSize]]:
    """Yield the sets of a corpus as far as its section of the preset counts them."""
    if isinstance(section, demo.Protocol):
        for name, size in section.sets:
            if size is not None:
                attacks = len(section.attack_names(name))
                yield name, SetSize(size.bonafide, attacks * size.spoof_per_attack)
    elif isinstance(section.trials, int):
        yield section.set, _mixed(section.trials)
    else:
        for part, count in section.trials.items():
            if isinstance(count, dict):
                yield part, SetSize(count.get("bonafide", 0), count.get("spoof", 0))
            else:
                # One key file has several subsets, and the preset names those it wants.
                names = [section.sets[part]] if part in section.sets else section.sets.values()
                for name in names:
                    yield name, _mixed(count / len(names))


def _mixed(count: float) -> SetSize:
    return SetSize(BONAFIDE * count, (1 - BONAFIDE) * count)


def read_cells(name: str) -> list[dag.Cell]:
    """Return the cells of a preset, with the grid of params.yaml where that names it."""
    if read_choice().preset == name:
        stages = dag.read_stages()
    else:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            choice = choice_of(name, read_preset(name))
            write_text(root / "params.yaml", yaml.safe_dump(choice))
            write_text(root / ".dvc" / "config", "[core]\n    no_scm = true\n")
            for path in (Path(dag.PIPELINE), *Path("presets").glob("*.yaml")):
                write_text(root / path, path.read_text(encoding="utf-8"))
            # DVC names stages by where one stands.
            with chdir(root):
                stages = dag.read_stages()
    return [cell for stage in stages for cell in stage.cells.values()]


class Forecaster:
    """Forecasts cell by cell; each kind is measured when the first of it comes."""

    def __init__(
        self, preset: Preset, heard: Sizes, rehearsal: Rehearsal, compute: Compute, folder: Path
    ) -> None:
        """`folder` takes files on the way."""
        self._preset, self._heard, self._rehearsal = preset, heard, rehearsal
        self._compute, self._folder = compute, folder
        self.speeds: dict[str, Speed] = {}
        self.notes: list[str] = []
        self.decoding = rehearsal.decoding()

    def seconds(self, stage: str, options: Mapping[str, str]) -> tuple[float, Speed | None] | None:
        """Return how long a cell runs, and what was measured; None for stages not measured."""
        estimate = ESTIMATES.get(stage)
        return None if estimate is None else estimate(self, options)

    def protocol(self, _: Mapping[str, str]) -> tuple[float, None]:
        """Decode every file, or make the demo's corpus."""
        total = 0.0
        for section in self._preset.protocol.corpora.values():
            if isinstance(section, demo.Protocol):
                total += self._made(section)
            else:
                total += self.decoding * sum(size.total for _, size in _expected(section))
        return total / self._compute.workers, None

    def _made(self, section: demo.Protocol) -> float:
        """Return the seconds in which one process makes the demo's corpus."""
        wave = np.tile(machine.speech(), 4)[: int(np.mean(self._heard.samples))]
        path = self._folder / "prompt.g722"
        path.write_bytes(signal.encode_g722(np.rint(wave * 32767).astype(np.int16)))
        voice, properties = next(iter(section.voices.items()))
        ref = AudioRef(str(path), 0, path.stat().st_size)
        piece = demo.Piece(voice, "prompt", ref, 0, len(wave))

        @cache
        def each(attack: str, spliced: bool) -> float:
            target = None
            if attack != "-" and needs_target(attack):
                own = getattr(section.attacks, attack)
                target = analysis.voice_statistics("other", [wave[::-1].copy()], own)
            context = Context(properties.language, target)
            job = demo.Job("D_T_0000000", "train", attack, piece, context, spliced)
            start = time.perf_counter()
            try:
                demo.make(section, self._preset.seed, job)
            except MixframeError as error:
                self.notes.append(f"attack {attack} was not measured: {error}")
                return 0.0
            return time.perf_counter() - start

        total = 0.0
        for name, size in section.sets:
            if size is not None:
                each("-", False)
                total += size.bonafide * each("-", False)
                for attack in section.attack_names(name):
                    total += size.spoof_per_attack * each(attack, name.endswith("_partial"))
        return total

    def pretrain(self, _: Mapping[str, str]) -> tuple[float, Speed | None]:
        """Masked prediction; a model from elsewhere is only copied."""
        section = self._preset.pretrain
        if not isinstance(section, Scratch):
            return 0.0, None
        speed = self._rehearsal.pretrain(section)
        train, dev = (self._heard.of(name).bonafide for name in ("train", "dev"))
        work = section.train.steps * speed.step + (train + dev) * speed.learnt
        return work + section.train.validations * dev * speed.scored, speed

    def posttrain(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """Steps, validations on the held-out splices, and the frames that are scored at the end."""
        section, speed = self._preset.posttrain[options["system"]], self._frames(options["system"])
        ends = self._heldout() + sum(self._heard.of(name).total for name in section.localise)
        judged = section.train.validations * self._heldout() + ends
        return section.train.steps * speed.step + judged * speed.scored, speed

    def finetune(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """Steps and validations, or what else the system learns by; the dev scores."""
        section, speed = self._preset.finetune[options["system"]], self._system(options["system"])
        dev = self._heard.of("dev").total
        if isinstance(section, UtteranceTraining):
            scored = (section.train.validations + 1) * dev
            return section.train.steps * speed.step + scored * speed.scored, speed
        learnt = sum(self._heard.of(name).total for name in section.learns_from)
        return learnt * speed.learnt + dev * speed.scored, speed

    def score(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """Every trial of a set."""
        speed = self._system(options["system"])
        return self._heard.of(options["set"]).total * speed.scored, speed

    def vote(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """The held-out splices, and the sets that the preset names."""
        return self._located(options["system"], self._preset.vote.sets)

    def score_frames(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """As `vote`; the system names the sets."""
        section: Any = self._preset.finetune[options["system"]]
        return self._located(options["system"], section.localise)

    def embed(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """A few utterances through two encoders."""
        section, speed = self._preset.embed, self._frames(options["system"])
        n = section.utterances * self._heard.groups + section.splices
        return 2 * n * speed.scored, speed

    def score_robust(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """The trials of the plan, clean and under each condition, and the making of their audio."""
        section, speed = self._robustness, self._system(options["system"])
        heard = (1 + len(section.conditions)) * speed.scored
        each = heard + self._distorting / self._compute.workers
        return self._planned(options["set"]).total * each, speed

    def attack(self, options: Mapping[str, str]) -> tuple[float, Speed]:
        """The gradients of the trials that attacks target, and the scores of all trials."""
        speed, size = self._system(options["system"]), self._planned(options["set"])
        seconds = 0.0
        for condition in self._robustness.adversarial.values():
            own = condition.made_on == ITSELF
            gradient = self._gradient(options["system"] if own else condition.made_on)
            attack = condition.attack
            targeted = sum(n for label, n in size._asdict().items() if attack.targets(label))
            seconds += targeted * attack.gradients * gradient + size.total * speed.scored
        return seconds, speed

    @property
    def _robustness(self) -> Robustness:
        return need(self._preset.robustness, self._preset.title)

    def _planned(self, name: str) -> SetSize:
        """Return how many trials of a set are heard under distortions."""
        size, wanted = self._heard.of(name), self._robustness.trials
        attacks = max(self._heard.groups - 1, 1)
        spoof = min(size.spoof, attacks * wanted.spoof_per_attack)
        return SetSize(min(size.bonafide, wanted.bonafide), spoof)

    @cached_property
    def _distorting(self) -> float:
        """Seconds in which one process makes an utterance's audio under all conditions."""
        rng = np.random.default_rng(0)
        wave = rng.normal(0, 0.05, int(np.mean(self._heard.samples))).astype(np.float32)
        start = time.perf_counter()
        for condition in self._robustness.conditions.values():
            condition.apply(wave, rng)
        return time.perf_counter() - start

    def _gradient(self, system: str) -> float:
        """Return the seconds of the gradient of one utterance."""
        section, speed = self._preset.finetune[system], self._system(system)
        if isinstance(section, UtteranceTraining):
            return speed.step / section.train.batch
        return BACKWARD * speed.scored

    def _located(self, system: str, sets: Sequence[str]) -> tuple[float, Speed]:
        speed = self._system(system)
        n = self._heldout() + sum(self._heard.of(name).total for name in sets)
        return n * speed.scored, speed

    def _heldout(self) -> float:
        section = self._preset.splice[HELDOUT]
        size = self._heard.of(section.set)
        bases = {"bonafide": size.bonafide, "spoof": size.spoof}.get(section.base, size.total)
        return bases * section.copies

    def _frames(self, system: str) -> Speed:
        key = f"posttrain {system}"
        if key not in self.speeds:
            log(f"{key}: measured")
            self.speeds[key] = self._rehearsal.posttrain(system)
        return self.speeds[key]

    def _system(self, system: str) -> Speed:
        key = f"finetune {system}"
        if key not in self.speeds:
            start = self._preset.finetune[system].starts_from
            if start in self._preset.posttrain:
                # Leaves the encoder that the system is built on.
                self._frames(start)
            log(f"{key}: measured")
            self.speeds[key] = self._rehearsal.finetune(system)
        return self.speeds[key]


ESTIMATES: dict[str, Callable[[Forecaster, Mapping[str, str]], tuple[float, Speed | None]]] = {
    "protocol": Forecaster.protocol,
    "pretrain": Forecaster.pretrain,
    "posttrain": Forecaster.posttrain,
    "finetune": Forecaster.finetune,
    "score": Forecaster.score,
    "vote": Forecaster.vote,
    "score_frames": Forecaster.score_frames,
    "embed": Forecaster.embed,
    "score_robust": Forecaster.score_robust,
    "attack": Forecaster.attack,
}
"""The stages that compute for long; the others take seconds, or minutes on the largest corpora."""


def forecast(
    name: str,
    compute: dict[str, Any],
    limits: Limits,
    watts: float | None = None,
    seconds: float | None = None,
) -> Forecast:
    """Measure what a preset's cells do and say how long all of them will take.

    Args:
        compute: overrides the preset's section of that name.
        watts: power of this machine while it computes; None for the limit of the GPU that is used,
            or else 15 W a core.
        seconds: mean length of an utterance where the corpus has not been read.

    Raises:
        MixframeError: the preset is not valid, or its foundation model is unknown and not here.
    """
    preset = read_preset(name)
    choice: Choice = read_choice()
    if choice.preset == name:
        check_grid(choice.grid, preset)
    files = Layout(name, base=preset.base)
    resolved = preset.compute.model_copy(update={**compute, "processes": 1}).resolved()
    heard = sizes(preset, files, seconds)
    earlier = read_json(files.timings) if files.timings.is_file() else {}
    rows: dict[str, Row] = {}
    starts: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        n = max(limits.utterances, 40)
        corpus = noise_corpus(folder, [heard.samples[i * 37 % 64] for i in range(n)])
        config = foundation_config(preset.pretrain, files)
        rehearsal = Rehearsal(preset, config, resolved, corpus, folder, limits)
        forecaster = Forecaster(preset, heard, rehearsal, resolved, folder)
        for cell in read_cells(name):
            stage = code.stage_of(cell.command)
            options = dict(re.findall(r"--(\w+) (\S+)", cell.command))
            system = preset.finetune.get(options.get("system", ""))
            starts.append(TORCH if uses_torch(stage, system) else NO_TORCH)
            key = " ".join([stage, options.get("system") or options.get("policy") or ""]).strip()
            rows[key] = _added(
                rows.get(key), key, _row(forecaster, stage, options, preset, earlier)
            )
        notes = [f"sizes: {heard.source}", "weights are random, speech is noise", *forecaster.notes]
        decoding = forecaster.decoding
        notes += _scaled(forecaster.speeds, preset)
    start = {kind: _start_seconds(kind) for kind in sorted(set(starts))}
    work = sum(row.seconds for row in rows.values())
    total = work + sum(start[kind] for kind in starts)
    notes += _unmeasured(rows.values(), heard, preset)
    listed = list(rows.values())
    return Forecast(
        listed,
        start,
        total / 3600,
        (work + max(start.values())) / 3600,
        watts if watts is not None else _watts(resolved),
        _bottleneck(listed, total, decoding, resolved),
        notes,
    )


def _row(
    forecaster: Forecaster,
    stage: str,
    options: Mapping[str, str],
    preset: Preset,
    earlier: Mapping[str, float],
) -> Row:
    """Forecast one cell."""
    estimated = forecaster.seconds(stage, options)
    if estimated is None:
        known = [s for key, s in earlier.items() if key.split("@")[0] == stage]
        mean = sum(known) / len(known) if known else 0.0
        return Row("", 1, mean, 0, 0, 0, None, "an earlier run" if known else NOT_MEASURED)
    seconds, speed = estimated
    if speed is None:
        return Row("", 1, seconds, 0, 0, 0, None, "measured")
    section: Any = {
        "pretrain": preset.pretrain,
        "posttrain": preset.posttrain.get(options.get("system", "")),
        "finetune": preset.finetune.get(options.get("system", "")),
    }.get(stage)
    train = getattr(section, "train", None)
    rate = train.batch / speed.step if train and speed.step else 0.0
    scored = 1 / speed.scored if speed.scored else 0.0
    share = speed.share if rate else None
    return Row("", 1, seconds, rate, scored, speed.memory_gib, share, "measured")


def _added(known: Row | None, key: str, one: Row) -> Row:
    values = asdict(one) | {"cell": key}
    if known is not None:
        values |= {"cells": known.cells + 1, "seconds": known.seconds + one.seconds}
    return Row(**values)


def _scaled(speeds: Mapping[str, Speed], preset: Preset) -> Iterator[str]:
    """Say which steps were measured with a part of their batch."""
    for key, speed in speeds.items():
        stage, _, system = key.partition(" ")
        section: Any = getattr(preset, stage)[system]
        train = getattr(section, "train", None)
        if train is not None and speed.batch < train.batch:
            yield (
                f"{key}: a step was measured with {speed.batch} of its {train.batch} utterances "
                "and taken in proportion"
            )


def _unmeasured(rows: Any, heard: Sizes, preset: Preset) -> Iterator[str]:
    names = sorted({row.cell.split()[0] for row in rows if row.source == NOT_MEASURED})
    if names:
        yield f"counted without their work, which is short: {', '.join(names)}"
    empty = [name for name in ("train", "dev", *preset.grid.set) if not heard.of(name).total]
    if empty:
        yield f"of unknown size and left out until stage protocol has run: {', '.join(empty)}"


def _bottleneck(rows: Sequence[Row], total: float, decoding: float, compute: Compute) -> str:
    """Say which cells take longest, and what those wait for."""
    longest = max(rows, key=lambda row: row.seconds)
    share = longest.seconds / total if total else 0.0
    fed = compute.workers / decoding
    rate = longest.train_rate or longest.score_rate
    if not rate:
        held = "making or decoding the corpus on all cores"
    elif rate > 0.8 * fed:
        held = f"decoding: {compute.workers} threads give {fed:,.0f} utterances a second"
    else:
        held = f"computing; decoding would feed {fed / rate:,.0f} times as much"
    return f"{longest.cell}, {share:.0%} of the time: {held}"


def uses_torch(stage: str, system: Section | None = None) -> bool:
    """Tell whether a stage trains or infers, with the section of the system that it is about."""
    runs = code.closure({f"mixframe.stages.{stage}"})
    if "mixframe.training.systems" in runs:
        runs |= code.fingerprint(stage, [system]).keys()
    return "mixframe.training.runner" in runs


def _start_seconds(kind: str) -> float:
    """Return how long the process of a stage takes to start."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {STARTED[kind]}"], check=True)
    return time.perf_counter() - start


def _watts(compute: Compute) -> float:
    if _on_gpu(compute):
        return next((card.watts for card in hardware.gpus() if card.watts), 300.0)
    return WATTS_A_CORE * hardware.cores()


def forecast_lines(outlook: Forecast) -> list[str]:
    """Describe a forecast: a table of the cells, then what all of them take."""
    head = ("cells", "", "train, utt/s", "score, utt/s", "memory, GiB", "of peak", "takes")
    lines = [head]
    for row in outlook.rows:
        lines.append(
            (
                row.cell,
                str(row.cells),
                _figure(row.train_rate),
                _figure(row.score_rate),
                _figure(row.memory_gib),
                "" if row.share is None else f"{row.share:.0%}",
                "" if row.source == NOT_MEASURED else _duration(row.seconds),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    table = []
    for line in lines:
        rest = (text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))
        table.append("  ".join([line[0].ljust(widths[0]), *rest]).rstrip())
    n = sum(row.cells for row in outlook.rows)
    starts = ", ".join(f"{seconds:.1f} s {kind}" for kind, seconds in outlook.start.items())
    return [
        *table,
        f"{n} cells one after another, each started in {starts}: "
        f"{_duration(outlook.hours * 3600)}, {outlook.kilowatt_hours:.2f} kWh at "
        f"{outlook.watts:.0f} W",
        f"by `mixframe warm`, which imports once for all: {_duration(outlook.warm_hours * 3600)}",
        f"bottleneck: {outlook.bottleneck}",
        *outlook.notes,
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _figure(value: float) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
