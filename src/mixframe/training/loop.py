"""The training loop: steps, validations, checkpoints; pretrain, posttrain and finetune use it.

A run gives the same bytes with any number of threads, and after any number of kills: the gradients
of the slices of a batch (`mixframe.training.runner`) are added in the order of the slices.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path
from mixframe.base.processes import World
from mixframe.base.progress import log, progress
from mixframe.base.tensors import first_line
from mixframe.models.backbone import recompute_layers
from mixframe.models.norms import update_running_statistics
from mixframe.training.data import Batch, prefetch
from mixframe.training.params import Train
from mixframe.training.runner import Runner

READ_EVERY = 20
"""Steps after which losses are read at the latest; a GPU is waited for then, and only then."""


class Task(Protocol):
    """What is trained."""

    @property
    def model(self) -> nn.Module:
        """The module whose trainable parameters are optimised."""

    def samples(self, draw: int) -> int:
        """Return how long the utterance of a draw is in its batch, without padding."""

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return the utterances drawn at these numbers, counted from 0 over all steps."""

    def weight(self, batch: Batch) -> float:
        """Return this part's share of what the summed loss of a step is divided by."""

    def loss(self, part: Batch) -> Tensor:
        """Return the summed (not averaged) loss of a slice."""

    def validate(self, run: Runner) -> "Validation":
        """Judge the model as it is."""


@dataclass(frozen=True)
class Validation:
    """One validation.

    Attributes:
        rank: lower is better; later items settle ties of earlier ones.
        figures: what the training curve shows.
    """

    rank: tuple[float, ...]
    figures: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves.

    Attributes:
        rows: one dict a validation: step, mean training loss since the last, lr, and its figures.
        steps: the steps whose weights were averaged, best first.
    """

    rows: list[dict[str, float]]
    steps: list[int]


def train(
    task: Task,
    params: Train,
    average: int,
    runner: Runner,
    state: Path,
    seed: int,
    what: str,
    patience: int = 0,
) -> Outcome:
    """Train `task.model` in place; at the end it holds the selected weights.

    Args:
        average: the weights are the mean over this many best validations; 0 takes the last ones.
        state: file of the checkpoint from which a killed run goes on.
        seed: of dropout, and of which step gets which bucket.
        what: title of the progress bar.
        patience: training ends after this many validations without a better one; 0 = never.

    Raises:
        MixframeError: a trainable parameter gets no gradient, or the loss is not finite.
    """
    model, world = task.model.to(runner.device), runner.world
    params.share(world.count, what)
    if params.recompute:
        recompute_layers(model)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise MixframeError(f"{what}: nothing to train: no parameter is trainable")
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[params.optimiser]
    fused = True if runner.device.type == "cuda" else None
    optimiser = kind(weights, lr=params.lr, weight_decay=params.weight_decay, fused=fused)
    check_gradients(task, params, runner, names, weights, seed)
    world.wait()
    first, rows, losses, best = _resume(state, model, optimiser)
    if first:
        log(f"{what}: going on from step {first} of {params.steps}")
    parts = prefetch(
        lambda step: _part(task, params, runner, step, seed),
        range(first, params.steps),
        runner.workers,
    )
    unread: list[Tensor] = []
    samples = padded = 0
    for step, part in enumerate(
        progress(parts, params.steps, what, "steps", initial=first), start=first
    ):
        model.train()
        rate = learning_rate(params, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, gradients = _gradients(task, part, runner, weights, (seed, step))
        for weight in reversed(weights):
            weight.grad = gradients.pop()
        if params.clip_norm:
            nn.utils.clip_grad_norm_(weights, params.clip_norm)
        optimiser.step()
        # The next step's gradients are held beside no others.
        optimiser.zero_grad()
        update_running_statistics(model, world)
        unread.append(loss)
        samples += part.samples
        padded += part.padded
        done = step + 1
        judge = done % params.evaluate_every == 0 or done == params.steps
        save = done % params.checkpoint_every == 0 and done < params.steps
        if judge or save or len(unread) == READ_EVERY:
            losses += _read(unread, done - len(unread), what)
            unread = []
        if judge:
            model.eval()
            judged = task.validate(runner)
            mean = sum(losses) / len(losses)
            rows.append({"step": done, "loss": mean, "lr": rate, **judged.figures})
            losses = []
            if average:
                best = _keep_best(best, (*judged.rank, done), model, average)
            if patience and stale(rows, best) >= patience:
                log(f"{what}: no better validation in the last {patience}, stopping at {done}")
                break
        if save and world.main:
            _save(state, done, model, optimiser, rows, losses, best)
    if padded:
        log(f"{what}: {1 - samples / padded:.1%} of the samples computed were padding")
    if average:
        _load_mean(model, [kept for _, kept in best])
    model.eval()
    return Outcome(rows, [int(rank[-1]) for rank, _ in best] if average else [params.steps])


def numbers(
    params: Train, step: int, world: World, samples: Callable[[int], int], seed: int
) -> Sequence[int]:
    """Return the numbers of the draws of a step that fall to this process.

    Those of a bucket are sorted, long ones first: slices computed side by side end together then.

    Args:
        samples: how long the utterance of a draw is.
        seed: of which step of a bucket gets which of its batches.
    """
    if not params.bucket:
        return world.share(range(step * params.batch, (step + 1) * params.batch))
    at = step % params.bucket
    first = step - at
    steps = min(params.bucket, params.steps - first)
    drawn = range(first * params.batch, (first + steps) * params.batch)
    by_length = sorted(drawn, key=lambda draw: (-samples(draw), draw))
    batch = int(np.random.default_rng([seed, 5, first]).permutation(steps)[at])
    return world.share(by_length[batch * params.batch : (batch + 1) * params.batch])


def learning_rate(params: Train, step: int) -> float:
    """Return the rate of a step counted from 0: linear rise, then cosine to 0 or constant."""
    if step < params.warmup:
        return params.lr * (step + 1) / params.warmup
    if params.schedule == "constant":
        return params.lr
    share = (step - params.warmup) / max(1, params.steps - params.warmup)
    return (
        params.lr
        * 0.5
        * (1 + float(torch.cos(torch.tensor(share * torch.pi, dtype=torch.float64))))
    )


def check_gradients(
    task: Task,
    params: Train,
    runner: Runner,
    names: Sequence[str],
    weights: Sequence[Tensor],
    seed: int,
) -> None:
    """Check on the first batch that every trainable parameter is reached by the loss.

    Some models read the weights of a projection past its module, so that an adapter on it would
    stay as it was, silently.

    Raises:
        MixframeError: the parameters without a gradient, by name.
    """
    task.model.train()
    # LoRA starts with B = 0, which leaves A without a gradient until B has moved: try with B moved.
    moved = [w for n, w in zip(names, weights, strict=True) if "lora_B" in n]
    kept = [w.detach().clone() for w in moved]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in moved:
            weight.add_(torch.randn(weight.shape, generator=generator).to(weight) * 1e-2)
    part = _part(task, params, runner, 0, seed)
    _, gradients = _gradients(task, part, runner, weights, (0, 0))
    with torch.no_grad():
        for weight, value in zip(moved, kept, strict=True):
            weight.copy_(value)
    dead = [n for n, g in zip(names, gradients, strict=True) if not bool((g != 0).any())]
    if dead:
        raise MixframeError(
            f"{len(dead)} of {len(names)} trainable parameters get no gradient:\n{listing(dead)}"
        )


@dataclass(frozen=True)
class _Part:
    """This process's part of a step, prepared while earlier steps are computed.

    Attributes:
        slices: the batch in slices.
        weight: what `Task.weight` says of it.
        samples: of its utterances.
        padded: samples of its slices with their padding.
    """

    slices: list[Batch]
    weight: float
    samples: int
    padded: int


def _part(task: Task, params: Train, runner: Runner, step: int, seed: int) -> _Part:
    batch = task.batch(numbers(params, step, runner.world, task.samples, seed))
    slices = batch.slices(params.slices // runner.world.count)
    padded = sum(part.waves.numel() for part in slices)
    return _Part(
        [runner.ready(part) for part in slices],
        task.weight(batch),
        int(batch.lengths.sum()),
        padded,
    )


def _read(losses: Sequence[Tensor], first: int, what: str) -> list[float]:
    """Return the losses of neighbouring steps; all of them are fetched at once.

    Args:
        first: step of the first one.

    Raises:
        MixframeError: one is not finite.
    """
    values: list[float] = torch.stack(list(losses)).tolist()
    for step, value in enumerate(values, start=first):
        if not math.isfinite(value):
            raise MixframeError(f"{what}: the loss is {value} at step {step}; lower train.lr")
    return values


def _gradients(
    task: Task,
    part: _Part,
    runner: Runner,
    weights: Sequence[Tensor],
    seed: tuple[int, int],
) -> tuple[Tensor, list[Tensor]]:
    """Return the mean loss of a step and its gradients, summed over slices in their order.

    Args:
        seed: with a slice's number that of its dropout.
    """
    world, own = runner.world, len(part.slices)
    total = float(world.add(np.array([part.weight]), runner.device)[0])

    summed = InOrder(len(weights))

    def one(index: int, batch: Batch) -> Tensor:
        if runner.sequential:
            number = world.index * own + index
            torch.manual_seed(int(np.random.SeedSequence([*seed, number]).generate_state(1)[0]))
        loss = task.loss(batch) / total
        summed.add(index, torch.autograd.grad(loss, weights, allow_unused=True))
        return loss.detach()

    loss = torch.stack(runner.map(one, part.slices)).sum()
    gradients = [
        torch.zeros_like(weight) if gradient is None else gradient
        for weight, gradient in zip(weights, summed.total, strict=True)
    ]
    loss, *gradients = world.sum([loss, *gradients])
    return loss, gradients


class InOrder:
    """Sums gradients of slices in the order of the slices, whichever is computed first.

    Held are the sum and what slices that are computed side by side left too early.

    Attributes:
        total: a gradient each parameter, None where no slice had one.
    """

    def __init__(self, n: int) -> None:
        """`n` is how many parameters there are."""
        self.total: list[Tensor | None] = [None] * n
        # Autograd may give one tensor to several parameters, so that a first one is not added to.
        self._own = [False] * n
        self._early: dict[int, Sequence[Tensor | None]] = {}
        self._next, self._lock = 0, Lock()

    def add(self, index: int, gradients: Sequence[Tensor | None]) -> None:
        """Take the gradients of a slice, from the thread that computed them."""
        with self._lock:
            self._early[index] = gradients
            while self._next in self._early:
                for i, gradient in enumerate(self._early.pop(self._next)):
                    self._add(i, gradient)
                self._next += 1

    def _add(self, i: int, gradient: Tensor | None) -> None:
        known = self.total[i]
        if gradient is None:
            return
        if known is None:
            self.total[i] = gradient
        elif self._own[i]:
            known.add_(gradient)
        else:
            self.total[i], self._own[i] = known + gradient, True


def stale(rows: Sequence[dict[str, float]], best: Sequence["Kept"]) -> int:
    """Return how many validations there were since the best one."""
    return sum(row["step"] > best[0][0][-1] for row in rows)


Kept = tuple[tuple[float, ...], dict[str, Tensor]]
"""Rank and step of a validation, and the weights it judged."""


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of everything training changes: trainable parameters and buffers.

    Copies, because a state dict aliases the weights and would follow them in later steps.
    """
    parts: dict[str, Tensor] = dict(model.named_buffers())
    parts.update((n, p) for n, p in model.named_parameters() if p.requires_grad)
    return {n: t.detach().to("cpu", copy=True) for n, t in parts.items()}


def _keep_best(best: list[Kept], rank: tuple[float, ...], model: nn.Module, n: int) -> list[Kept]:
    """Return the n best validations, the earlier one first where they tie."""
    if len(best) == n and rank >= best[-1][0]:
        return best
    return sorted([*best, (rank, _trained(model))], key=lambda kept: kept[0])[:n]


def _load_mean(model: nn.Module, states: Sequence[dict[str, Tensor]]) -> None:
    """Load the element-wise mean of several states into the model."""
    own: dict[str, Tensor] = dict(model.named_buffers())
    own.update(model.named_parameters())
    with torch.no_grad():
        for name in states[0]:
            stack = torch.stack([s[name].double() for s in states])
            own[name].copy_(stack.mean(0).to(own[name].dtype))


def _save(
    state: Path,
    step: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    rows: list[dict[str, float]],
    losses: list[float],
    best: list[Kept],
) -> None:
    with atomic_path(state) as temporary:
        torch.save(
            {
                "step": step,
                "model": _trained(model),
                "optimiser": optimiser.state_dict(),
                "rows": rows,
                "losses": losses,
                "best": best,
            },
            temporary,
        )


def _resume(
    state: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]], list[float], list[Kept]]:
    if not state.is_file():
        return 0, [], [], []
    try:
        saved = torch.load(state, map_location="cpu", weights_only=True)
        _load_mean(model, [saved["model"]])
        optimiser.load_state_dict(saved["optimiser"])
        best = [(tuple(rank), weights) for rank, weights in saved["best"]]
        return saved["step"], saved["rows"], saved["losses"], best
    except MemoryError:
        raise
    # What torch raises depends on where the file is damaged.
    except Exception as error:
        raise MixframeError(
            f"{state}: no checkpoint, cut or damaged ({first_line(error)}); remove it to train "
            "from the start"
        ) from error
