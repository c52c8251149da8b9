"""Real training steps and real scoring on noise, timed: what a forecast is made of.

The encoder has the shape of the preset's foundation model and random weights, the corpus is noise
as FLAC in a tar, so nothing is downloaded and nothing of the results is read.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, PretrainedConfig

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, encode_flac, read, tar_writer
from mixframe.audio.splicing import planning
from mixframe.audio.splicing.rendering import Recipe, recipes
from mixframe.base.compute import Compute
from mixframe.base.hardware import GIB, PeakMemory
from mixframe.base.labels import LABELS
from mixframe.base.tensors import save_tensors
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Preset
from mixframe.models import backbone as backbones
from mixframe.models.params import ENCODER_FILES, draws_numbers
from mixframe.training.data import cached_reader
from mixframe.training.frames import FrameModel, FrameTask, frame_scores
from mixframe.training.loop import Task, train
from mixframe.training.masked import Clusters, MaskedPrediction, MaskedTask, Utterances
from mixframe.training.params import Scratch, Train, UtteranceTraining
from mixframe.training.runner import Runner, multiply_in
from mixframe.training.systems.localiser import CLASSIFIER
from mixframe.training.systems.system import Fitted, System, Work

T = TypeVar("T")

DEV = 4
"""Utterances of the development set in a rehearsed training; both classes are in it."""


@dataclass(frozen=True)
class Limits:
    """How much is measured.

    Attributes:
        steps: of training, of each kind of cell.
        utterances: scored, of each kind of cell.
        seconds: about how long each measurement may take; where steps or utterances would take
            longer, there are fewer.
    """

    steps: int
    utterances: int
    seconds: float


@dataclass(frozen=True)
class Speed:
    """What was measured of one kind of cell.

    Attributes:
        step: seconds of a training step with the preset's batch; 0 where nothing learns in steps.
        learnt: seconds a training utterance, where something else is learnt than in steps.
        scored: seconds a scored utterance.
        batch: utterances of a measured step; smaller than the preset's where that would take long,
            and then `step` is in proportion.
        steps, utterances: how many were measured.
        memory_gib: most memory held: of the GPU where there is one, else of the process.
        share: of the rate at which this GPU multiplies matrices, in a step; None on a CPU.
    """

    step: float
    learnt: float
    scored: float
    batch: int
    steps: int
    utterances: int
    memory_gib: float
    share: float | None = None


def noise_corpus(folder: Path, samples: Sequence[int]) -> pd.DataFrame:
    """Write noise of these lengths as FLAC into a tar and return the rows of its manifest.

    Classes alternate; the set is train, the speaker always the same.
    """
    rng = np.random.default_rng(0)
    rows = []
    with tar_writer(folder / "audio.tar") as audio:
        for number, length in enumerate(samples):
            wave = rng.normal(0, 0.05, length).astype(np.float32)
            ref = audio.add(f"{number:05d}.flac", encode_flac(wave))
            row = dict.fromkeys(manifest.TEXT, "-") | {
                "utterance": f"N_{number:05d}",
                "set": "train",
                "label": LABELS[number % 2],
                "path": ref.path,
                "offset": ref.offset,
                "n_bytes": ref.n_bytes,
                "samples": length,
                "regions": [],
            }
            rows.append(row)
    return manifest.check(pd.DataFrame(rows), "the noise")


class Rehearsal:
    """Measures the cells of a preset, each kind once."""

    def __init__(
        self,
        preset: Preset,
        config: PretrainedConfig,
        compute: Compute,
        rows: pd.DataFrame,
        folder: Path,
        limits: Limits,
    ) -> None:
        """Write an encoder with random weights.

        Args:
            config: of the foundation model.
            compute: resolved.
            rows: of `noise_corpus`.
            folder: where what is trained goes; empty but for the noise.
        """
        self._preset, self._compute, self._rows = preset, compute, rows
        self._folder, self._limits = folder, limits
        self._known: dict[str, Speed] = {}
        torch.manual_seed(preset.seed)
        preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
        model = backbones.wrap(AutoModel.from_config(config), preprocessor)
        self._foundation = folder / "foundation"
        self._foundation.mkdir()
        backbones.save(model, self._foundation, preprocessor)
        self._device = Runner(compute).device

    def decoding(self) -> float:
        """Return the seconds that reading and decoding an utterance takes one thread."""
        refs = manifest.refs(self._rows)
        start = time.perf_counter()
        for ref in refs:
            read(ref)
        return (time.perf_counter() - start) / len(refs)

    def pretrain(self, section: Scratch) -> Speed:
        """Measure masked prediction; `learnt` is the MFCCs, `scored` a validation's utterance."""
        with self._measured("pretrain", section) as measure:
            if measure.known is not None:
                return measure.known
            # A model has a mask embedding only if its configuration masks.
            config = backbones.new_config(section.architecture)
            config.mask_time_prob, config.apply_spec_augment = section.masking.probability, True
            preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
            backbone = backbones.wrap(AutoModel.from_config(config), preprocessor)
            model = MaskedPrediction(backbone, section.targets.clusters)
            clusters = Clusters(section.targets, backbone.grid.hop)
            refs, samples = manifest.refs(self._rows), self._rows["samples"].tolist()
            start = time.perf_counter()
            features = [clusters.features(read(ref)) for ref in refs]
            learnt = (time.perf_counter() - start) / len(refs)
            clusters.fit(features, self._preset.seed)
            spoken = Utterances(refs, samples, [clusters.targets(f) for f in features])

            def task(short: Train) -> Task:
                shortened = section.model_copy(update={"train": short})
                reader = cached_reader(self._compute.keep_utterances)
                dev = Utterances(refs[:DEV], samples[:DEV], spoken.targets[:DEV])
                seed = self._preset.seed
                return MaskedTask(model, backbone, shortened, reader, spoken, dev, seed)

            step = self._steps(section.train, lambda short: self._train(task(short), short))
            runner = Runner(self._compute)
            model.to(runner.device).eval()

            def validate(n: int) -> None:
                dev = _first(spoken, n)
                task = MaskedTask(model, backbone, section, read, spoken, dev, self._preset.seed)
                task.validate(runner)

            scored, n = self._scoring(validate)
            return measure.done(step, learnt, scored, n)

    def posttrain(self, system: str) -> Speed:
        """Measure the post-training of a system, and leave its encoder for those that need it."""
        section = self._preset.posttrain[system]
        with self._measured("posttrain", section) as measure:
            backbone = backbones.load(self._foundation, self._preset.encoder)
            seed = self._preset.seed
            model = FrameModel(backbone, section.adapter, section.classifier_hidden, seed)
            self._leave(system, model)
            if measure.known is not None:
                return measure.known
            spliced, heldout = (self._spliced(name, backbone) for name in (system, HELDOUT))

            def run(short: Train) -> None:
                shortened = section.model_copy(update={"train": short})
                reader = cached_reader(self._compute.keep_utterances)
                task = FrameTask(model, shortened, reader, spliced, heldout[:DEV], seed)
                self._train(task, short, draws_numbers(self._preset.encoder, section.adapter))

            step = self._steps(section.train, run)
            model.merge()
            runner, part = Runner(self._compute), section.train.part
            model.to(runner.device).eval()
            scored, n = self._scoring(
                lambda n: frame_scores(model, _so_many(heldout, n), part, read, runner)
            )
            return measure.done(step, 0.0, scored, n)

    def finetune(self, system: str) -> Speed:
        """Measure the training of a system, and its scoring."""
        section = self._preset.finetune[system]
        with self._measured("finetune", section) as measure:
            if measure.known is not None:
                return measure.known
            step, learnt = _NO_STEPS, 0.0
            folder = self._folder / "finetune" / system
            folder.mkdir(parents=True)
            if isinstance(section, UtteranceTraining):
                kept: list[Fitted] = []

                def run(short: Train) -> None:
                    shortened = section.model_copy(update={"train": short})
                    kept[:] = [self._fit(shortened, len(self._rows) - DEV)]

                step = self._steps(section.train, run)
                kept[0].save(folder)
            else:
                few, many = len(self._rows) // 4, len(self._rows) - DEV
                start = time.perf_counter()
                self._fit(section, few)
                middle = time.perf_counter()
                self._fit(section, many).save(folder)
                seconds = time.perf_counter() - middle - (middle - start)
                learnt = max(seconds, 0.0) / (many - few)
            scorer = section.scorer(self._work(section), folder)
            refs, samples = manifest.refs(self._rows), self._rows["samples"].tolist()
            scored, n = self._scoring(
                lambda n: scorer(_so_many(refs, n), _so_many(samples, n), read)
            )
            return measure.done(step, learnt, scored, n)

    def _fit(self, section: System, n_train: int) -> Fitted:
        learnt = [self._rows.iloc[:n_train].assign(set=name) for name in section.learns_from]
        dev = self._rows.iloc[n_train : n_train + DEV].assign(set="dev")
        table = pd.concat([*learnt, dev], ignore_index=True)
        fitted = section.fit(self._work(section), table, self._folder / "state.pt")
        assert fitted is not None, "one process"
        return fitted

    def _work(self, section: System) -> Work:
        start = section.starts_from
        folder = None
        if start is not None:
            untouched = start in ("random", "foundation")
            folder = self._foundation if untouched else self._folder / "posttrain" / start
        preset = self._preset
        return Work(folder, preset.encoder, preset.score, self._compute, preset.seed, "rehearsal")

    def _train(self, task: Task, short: Train, random_layers: bool = False) -> None:
        runner = Runner(self._compute, short.precision, random_layers)
        train(task, short, 0, runner, self._folder / "state.pt", self._preset.seed, "rehearsal")

    def _leave(self, system: str, model: FrameModel) -> None:
        """Give a post-trained encoder its folder; its weights are those of the foundation model."""
        folder = self._folder / "posttrain" / system
        folder.mkdir(parents=True)
        for name in ENCODER_FILES:
            os.link(self._foundation / name, folder / name)
        save_tensors(model.classifier.state_dict(), folder / CLASSIFIER)

    def _spliced(self, policy: str, backbone: backbones.Backbone) -> list[Recipe]:
        section = self._preset.splice[policy]
        rows = self._rows.assign(set=section.set)
        where = dict(zip(rows["utterance"], manifest.refs(rows), strict=True))
        return recipes(planning.plan(rows, section, backbone.grid, self._preset.seed), where)

    def _steps(self, section: Train, run: Callable[[Train], object]) -> "_Steps":
        """Time the steps of a training that `run` makes with a shortened section."""
        gpu = self._device.type == "cuda"
        # One utterance a slice, to see first how long the whole batch would take on a CPU.
        batch = section.batch if gpu else section.slices
        counter = FlopCounterMode(display=False) if gpu else None
        with counter or nullcontext(), _stamps(self._device, counter) as stamps:
            run(_shortened(section, batch, 2))
        operations = stamps[1].operations - stamps[0].operations
        each = stamps[1].at - stamps[0].at
        whole = each * section.batch / batch
        n = min(self._limits.steps, int(self._limits.seconds / whole))
        if n >= 2 or batch == section.batch:
            n, batch = max(n, 2), section.batch
            with _stamps(self._device) as stamps:
                run(_shortened(section, batch, n + 1))
            whole = each = (stamps[-1].at - stamps[0].at) / n
        else:
            n = 1
        share = operations / each / _matrix_rate(self._device, section) if gpu else None
        return _Steps(whole, batch, n, share)

    def _scoring(self, score: Callable[[int], object]) -> tuple[float, int]:
        """Return the seconds of an utterance, and how many were scored; `score` scores so many."""
        n = DEV
        seconds = self._timed(lambda: score(n))
        wanted = min(self._limits.utterances, int(self._limits.seconds / seconds * n))
        if wanted > n:
            n = wanted
            seconds = self._timed(lambda: score(n))
        return seconds / n, n

    def _timed(self, function: Callable[[], object]) -> float:
        start = time.perf_counter()
        function()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - start

    @contextmanager
    def _measured(self, stage: str, section: Any) -> Iterator["_Measure"]:
        """Watch the memory; sections that differ in where the encoder is from are measured once."""
        values = section.model_dump()
        values.pop("encoder", None)
        key = f"{stage} {values}"
        measure = _Measure(self._device, self._known.get(key))
        yield measure
        if measure.made is not None:
            self._known[key] = measure.made


@dataclass(frozen=True)
class _Steps:
    seconds: float
    batch: int
    count: int
    share: float | None


_NO_STEPS = _Steps(0.0, 0, 0, None)


class _Measure:
    """The memory of one measurement, and its outcome."""

    def __init__(self, device: torch.device, known: Speed | None) -> None:
        self._device, self.known = device, known
        self.made: Speed | None = None
        self._peak = PeakMemory()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def done(self, step: _Steps, learnt: float, scored: float, utterances: int) -> Speed:
        """Note the outcome and return it."""
        memory = self._peak.gib()
        if self._device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(self._device) / GIB
        self.made = Speed(
            step.seconds, learnt, scored, step.batch, step.count, utterances, memory, step.share
        )
        return self.made


@dataclass(frozen=True)
class _Stamp:
    """The end of an optimiser's step: when, and after how many floating-point operations."""

    at: float
    operations: int


@contextmanager
def _stamps(device: torch.device, counter: FlopCounterMode | None = None) -> Iterator[list[_Stamp]]:
    stamps: list[_Stamp] = []

    def note(*_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        operations = counter.get_total_flops() if counter else 0
        stamps.append(_Stamp(time.perf_counter(), operations))

    hook = register_optimizer_step_post_hook(note)
    try:
        yield stamps
    finally:
        hook.remove()


def _matrix_rate(device: torch.device, section: Train) -> float:
    """Return the operations a second at which a GPU multiplies matrices in a training's precision.

    What a step can reach at most, measured, for data sheets promise more than any card does.
    """
    kind = torch.bfloat16 if section.precision == "bf16" else torch.float32
    multiply_in(section.precision)
    matrix = torch.randn(8192, 8192, device=device, dtype=kind)
    for repeats in (3, 20):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(repeats):
            matrix @ matrix
        torch.cuda.synchronize(device)
    return 2 * 8192**3 * 20 / (time.perf_counter() - start)


def _shortened(section: Train, batch: int, steps: int) -> Train:
    """Return a training of so many steps with one validation, at its end, and no checkpoint."""
    slices = min(section.slices, batch)
    values = {"steps": steps, "batch": batch, "slices": slices, "warmup": 0}
    return section.model_copy(update={**values, "evaluate_every": steps, "checkpoint_every": steps})


def _so_many(items: Sequence[T], count: int) -> list[T]:
    """Return the first `count` items, from the first one again where there are fewer."""
    return [items[i % len(items)] for i in range(count)]


def _first(spoken: Utterances, count: int) -> Utterances:
    refs, samples = _so_many(spoken.refs, count), _so_many(spoken.samples, count)
    return Utterances(refs, samples, _so_many(spoken.targets, count))
