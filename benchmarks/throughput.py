"""Utterances a second beside a plain training or scoring loop: `python -m benchmarks.throughput`.

    python -m benchmarks.throughput [--turns N] [--work NAME ...] [--model NAME] [--utterances N]

The work is LoRA fine-tuning (lora), MFPT post-training (posttrain) and scoring of whole utterances
(score; with score.precision bf16: score_bf16), of an encoder with random weights on noise of 1 to
6 s, so that nothing is downloaded. The sides take turns and compute on the same utterances, each in
a process of its own, which also measures its memory:

ours: `loop.train` or `scoring.score`, with what the presets for published encoders say; dropout is
off, with which slices could not run side by side on a CPU.
plain: `AutoModel`, peft and a torch optimiser in fp32; training crops, zero-padded, of 64,600
samples; for scoring batches in the order of the trials, zero-padded. The weights of the
convolutions are frozen, yet gradients pass through them, as transformers has it unless
`freeze_feature_encoder` is called.
careful: the plain loop with that call; for scoring one utterance after another, without padding.

On a GPU batches are larger, and memory is the GPU's.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, PretrainedConfig, Wav2Vec2Config

from benchmarks.paper_step import corpus
from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, AudioRef, Waveform
from mixframe.audio.splicing import planning, rendering
from mixframe.base import isa
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Preset, read_preset
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.params import Lora
from mixframe.models.published import published_config
from mixframe.training.data import normalise
from mixframe.training.frames import FrameModel, FrameTask
from mixframe.training.loop import Validation, train
from mixframe.training.params import Train
from mixframe.training.runner import Runner
from mixframe.training.scoring import score, window
from mixframe.training.systems.neural import Neural
from mixframe.training.utterances import UtteranceTask

PRESET, SYSTEM = "asvspoof2019la_mfpt", "mfpt"
CROP = 64_600
SPREAD = "{:.2f} ({:.2f} to {:.2f})"
SCORING = {"score": "fp32", "score_bf16": "bf16"}
WORKS = "lora", "posttrain", *SCORING
GPU = torch.cuda.is_available()
SIDES = "plain", "careful", "ours"
DEVICE = torch.device("cuda" if GPU else "cpu")
QUICK = Wav2Vec2Config(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    conv_dim=[16] * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    **backbones.switches(0.0),
)


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        config: of the encoder.
        batch: utterances a step, or a batch of the plain loop that scores.
        slices: of our batches.
        utterances: of the corpus; each side goes through it once while time is taken.
        longest: seconds of the longest utterance.
    """

    config: PretrainedConfig
    batch: int
    slices: int
    utterances: int
    longest: float


def size(work: str, model: str, quick: bool, utterances: int) -> Size:
    """Return what is computed: little on a CPU, less for a test; `utterances` if it is not 0."""
    if quick:
        return Size(QUICK, 4, 2, 4, 1.5)
    config = published_config(model)
    if GPU:
        return Size(config, 16, 1, utterances or 256, 6.0)
    # As many seconds of work each: scoring is faster than training.
    return Size(config, 4, 2, utterances or (24 if work in SCORING else 8), 6.0)


@dataclass(frozen=True)
class Bench:
    """One measurement: a side of a piece of work."""

    size: Size
    preset: Preset
    samples: list[int]

    @property
    def steps(self) -> int:
        """Training steps that go through the corpus once."""
        return self.size.utterances // self.size.batch

    def read(self, ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
        """Return noise in the place of an utterance, u7 for the seventh."""
        index = int(ref.path[1:])
        drawn = np.random.default_rng(index).standard_normal(self.samples[index], np.float32)
        whole = drawn * np.float32(0.1)
        return whole[start : None if n_samples is None else start + n_samples]

    def encoder(self) -> Any:
        """Return an encoder with random weights, the same ones on each side."""
        torch.manual_seed(0)
        return AutoModel.from_config(self.size.config)

    def backbone(self) -> backbones.Backbone:
        """Return the encoder as ours wants it."""
        return backbones.wrap(self.encoder(), {"do_normalize": True})

    def neural(self) -> Neural:
        """Return the preset's section of the system that has LoRA adapters."""
        section = self.preset.finetune[SYSTEM]
        assert isinstance(section, Neural)
        assert isinstance(section.adapter, Lora)
        adapter = section.adapter.model_copy(update={"dropout": 0.0})
        train = self.shortened(section.train)
        return section.model_copy(update={"adapter": adapter, "train": train})

    def shortened(self, section: Train) -> Train:
        """Return a training of two rounds over the corpus; time is taken in the second."""
        changes = {
            "steps": 2 * self.steps,
            "batch": self.size.batch,
            "slices": self.size.slices,
            # So that either round has all utterances.
            "bucket": self.steps,
            "warmup": 1,
            "evaluate_every": self.steps,
            "checkpoint_every": 3 * self.steps,
            "precision": "bf16",
        }
        return section.model_copy(update=changes)

    def spliced(self) -> list[rendering.Recipe]:
        """Return as many splices as there are utterances."""
        rows = corpus(self.samples)
        where = dict(zip(rows["utterance"], manifest.refs(rows), strict=True))
        grid = backbones.grid_of(self.size.config)
        section = self.preset.splice[HELDOUT].model_copy(update={"base": "any"})
        plan = planning.plan(rows.assign(set=section.set), section, grid, 0)
        return rendering.recipes(plan, where)


class Timed:
    """A task whose validations take nothing but the time."""

    def __init__(self, task: FrameTask | UtteranceTask) -> None:
        """`task` is trained."""
        self._task, self.at = task, list[float]()
        self.model = task.model
        self.samples, self.batch = task.samples, task.batch
        self.weight, self.loss = task.weight, task.loss

    def validate(self, run: Runner) -> Validation:
        """Note the time."""
        self.at.append(_now())
        return Validation((0.0,), {})


def _now() -> float:
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(work: str, bench: Bench) -> float:
    """Return the seconds that the library takes to go through the corpus once."""
    rows, preset = corpus(bench.samples), bench.preset
    if work in SCORING:
        section = bench.neural()
        detector = Detector(bench.backbone(), section.adapter, section.head, 0)
        if preset.score.merge:
            detector.merge()
        runner = Runner(preset.compute)
        detector.to(runner.device).eval()
        scoring = preset.score.model_copy(update={"precision": SCORING[work]})
        heard, refs = window(section, scoring), manifest.refs(rows)

        def once() -> None:
            score(detector, refs, bench.samples, heard, runner, bench.read)

        return _second(once)
    if work == "lora":
        section = bench.neural()
        detector = Detector(bench.backbone(), section.adapter, section.head, 0)
        task = Timed(UtteranceTask(detector, section, preset.score, bench.read, rows, rows, 0))
        params = section.train
    else:
        post = preset.posttrain[SYSTEM]
        post = post.model_copy(update={"train": bench.shortened(post.train)})
        model = FrameModel(bench.backbone(), post.adapter, post.classifier_hidden, 0)
        recipes = bench.spliced()
        task = Timed(FrameTask(model, post, bench.read, recipes, recipes, 0))
        params = post.train
    runner = Runner(preset.compute, params.precision)
    with tempfile.TemporaryDirectory() as folder:
        train(task, params, 0, runner, Path(folder) / "state.pt", 0, work)
    return task.at[1] - task.at[0]


def _second(once: Callable[[], None]) -> float:
    """Return the seconds of the second of two rounds."""
    once()
    start = _now()
    once()
    return _now() - start


class PlainDetector(nn.Module):
    """An encoder, the mean of its frames, one linear layer to two logits."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        """`width` is that of the encoder's frames."""
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(width, 2)

    def forward(self, waves: Tensor) -> Tensor:
        """Map (B, N) to (B, 2)."""
        return self.head(self.encoder(waves).last_hidden_state.mean(1))


class PlainFrames(nn.Module):
    """An encoder under the classifier that MFPT names."""

    def __init__(self, encoder: nn.Module, width: int, hidden: int) -> None:
        """`width` is that of the encoder's frames, `hidden` the classifier's."""
        super().__init__()
        self.encoder, self.head = encoder, FrameClassifier(width, hidden)

    def forward(self, waves: Tensor) -> Tensor:
        """Map (B, N) to (B, T)."""
        return self.head(self.encoder(waves).last_hidden_state)


def plain(work: str, bench: Bench, careful: bool) -> float:
    """Return the seconds that a plain loop takes to go through the corpus once."""
    encoder = bench.encoder()
    if careful:
        encoder.freeze_feature_encoder()
    encoder.feature_extractor.requires_grad_(False)
    width = bench.size.config.hidden_size
    if work == "posttrain":
        post = bench.preset.posttrain[SYSTEM]
        model: nn.Module = PlainFrames(encoder, width, post.classifier_hidden)
        data = _plain_splices(bench)
    else:
        from peft import LoraConfig, get_peft_model

        adapter = bench.neural().adapter
        assert isinstance(adapter, Lora)
        config = LoraConfig(
            r=adapter.rank, lora_alpha=adapter.alpha, target_modules=adapter.targets
        )
        model = PlainDetector(get_peft_model(encoder, config), width)
        data = [(bench.read(AudioRef(f"u{i}")), float(i % 2)) for i in range(len(bench.samples))]
    model.to(DEVICE)
    if work in SCORING:
        return _second(
            lambda: _plain_scores(model.eval(), data, 1 if careful else bench.size.batch)
        )
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-5)
    model.train()

    def once() -> None:
        for waves, targets in _plain_batches(data, bench.size.batch, CROP):
            logits = model(waves.to(DEVICE))
            if work == "posttrain":
                wanted = targets[:, : logits.shape[1]].to(DEVICE)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            else:
                loss = nn.functional.cross_entropy(logits, targets.long().to(DEVICE))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

    return _second(once)


def _plain_splices(bench: Bench) -> list[tuple[Waveform, Any]]:
    """Return spliced utterances, and the labels that the frames of a crop have, 0 for padding."""
    grid = backbones.grid_of(bench.size.config)
    data = []
    for recipe in bench.spliced():
        wave, labels = rendering.load(recipe, grid, bench.read)
        data.append((wave, np.resize(np.append(labels, 0), grid.n_frames(CROP)).astype(np.float32)))
    return data


def _plain_batches(
    data: list[tuple[Waveform, Any]], n: int, samples: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (n, N) normalised waveforms, cut to some samples, and targets."""
    for at in range(0, len(data), n):
        waves, targets = zip(*data[at : at + n], strict=True)
        cut = [normalise(torch.from_numpy(wave[:samples])) for wave in waves]
        padded = nn.utils.rnn.pad_sequence(cut, batch_first=True)
        if samples:
            padded = nn.functional.pad(padded, (0, samples - padded.shape[1]))
        yield padded, torch.from_numpy(np.stack(targets))


@torch.no_grad()
def _plain_scores(model: nn.Module, data: list[tuple[Waveform, Any]], n: int) -> None:
    for waves, _ in _plain_batches(data, n, None):
        model(waves.to(DEVICE)).cpu()


def measure(work: str, side: str, model: str, quick: bool, utterances: int = 0) -> dict[str, float]:
    """Return utterances a second and peak GiB, of the GPU where there is one, of this process."""
    wanted = size(work, model, quick, utterances)
    rng = np.random.default_rng(0)
    samples = (rng.uniform(1.0, wanted.longest, wanted.utterances) * SAMPLE_RATE).astype(int)
    bench = Bench(wanted, read_preset(PRESET), samples.tolist())
    seconds = ours(work, bench) if side == "ours" else plain(work, bench, side == "careful")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
    if GPU:
        peak = torch.cuda.max_memory_allocated()
    return {"utterances_per_second": wanted.utterances / seconds, "peak_gib": peak / 2**30}


def child(work: str, side: str, arguments: list[str]) -> dict[str, float]:
    """Measure in a process of its own, whose libraries choose their code by the processor."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--one", work, side, *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in isa.PINS}
    environment[isa.NATIVE] = "native"
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def compare(work: str, turns: int, arguments: list[str]) -> dict[str, Any]:
    """Return the measurements of each side and the ratios of ours to the others, turn by turn."""
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for turn in range(turns):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            taken[side].append(child(work, side, arguments))
            print(work, turn, side, taken[side][-1], file=sys.stderr, flush=True)
    rates = {side: [m["utterances_per_second"] for m in taken[side]] for side in SIDES}
    return {
        "utterances_per_second": {side: _spread(rates[side]) for side in SIDES},
        "peak_gib": {side: _spread([m["peak_gib"] for m in taken[side]]) for side in SIDES},
        "ours_over": {
            side: _spread([a / b for a, b in zip(rates["ours"], rates[side], strict=True)])
            for side in SIDES[:-1]
        },
    }


def _spread(values: list[float]) -> list[float]:
    """Return median, least and greatest."""
    return [median(values), min(values), max(values)]


def main() -> None:
    """Print a table and everything as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--model", default="facebook/wav2vec2-base")
    parser.add_argument("--utterances", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("WORK", "SIDE"))
    given = parser.parse_args()
    if given.one:
        work, side = given.one
        print(json.dumps(measure(work, side, given.model, given.quick, given.utterances)))
        return
    arguments = ["--model", given.model, "--utterances", str(given.utterances)]
    arguments += ["--quick"] if given.quick else []
    figures = {work: compare(work, given.turns, arguments) for work in given.work}
    print("| work | side | utterances/s | ours is faster by | peak GiB |\n|---|---|---|---|---|")
    for work, found in figures.items():
        for side in SIDES:
            columns = [found["utterances_per_second"], found["ours_over"], found["peak_gib"]]
            shown = [SPREAD.format(*f[side]) if side in f else "" for f in columns]
            print(f"| {work} | {side} | {' | '.join(shown)} |")
    print(json.dumps({"device": str(DEVICE), "torch": torch.__version__, **figures}))


if __name__ == "__main__":
    main()
