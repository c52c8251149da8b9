"""The training loop: same bytes for any number of threads and after a kill, honest averaging."""

import copy
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.processes import World
from mixframe.models.norms import MaskedBatchNorm
from mixframe.training.data import Batch
from mixframe.training.loop import InOrder, Validation, learning_rate, numbers, train
from mixframe.training.params import Train
from mixframe.training.runner import FreeGpu, Runner

TRAIN = Train(
    steps=12,
    batch=8,
    slices=4,
    optimiser="adamw",
    lr=0.05,
    weight_decay=0.01,
    warmup=2,
    schedule="cosine",
    clip_norm=1.0,
    evaluate_every=3,
    checkpoint_every=2,
    precision="fp32",
)


def runner(threads=1, precision="fp32"):
    return Runner(
        Compute(
            device="cpu", processes=1, threads=threads, workers=2, keep_utterances=0, isa="pinned"
        ),
        precision,
    )


class Killed(Exception):
    """Stands for a kill: raised where a process would be gone."""


@dataclass
class Regression:
    """Fit a small network; validation figures are given, so that selection is known."""

    ranks: list[float] = field(default_factory=lambda: [0.0] * 4)
    die_at: int = -1

    def __post_init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
        self.seen = []

    def samples(self, draw):
        return 5

    def batch(self, numbers):
        step, first = divmod(numbers.start, TRAIN.batch)
        if step == self.die_at:
            raise Killed
        generator = torch.Generator().manual_seed(step)
        waves = torch.randn(TRAIN.batch, 5, generator=generator)[first : first + len(numbers)]
        return Batch(waves, torch.full((len(waves),), 5), waves.sum(1).sin())

    def weight(self, batch):
        return float(len(batch.lengths))

    def loss(self, part):
        return (self.model(part.waves).squeeze(-1) - part.targets).square().sum()

    def validate(self, run):
        self.seen.append(copy.deepcopy(self.model.state_dict()))
        return Validation((self.ranks[len(self.seen) - 1],), {"figure": 1.0})


def weights(task):
    return {k: v.clone() for k, v in task.model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_threads_do_not_change_a_bit(tmp_path):
    results = []
    for threads in (1, 2, 3):
        task = Regression()
        outcome = train(task, TRAIN, 0, runner(threads), tmp_path / f"{threads}.pt", 0, "test")
        results.append((weights(task), outcome.rows))
    assert all(equal(results[0][0], w) and results[0][1] == rows for w, rows in results[1:])


def test_slices_only_regroup_the_sum(tmp_path):
    tasks = [Regression(), Regression()]
    for task, slices in zip(tasks, (1, 4), strict=True):
        params = TRAIN.model_copy(update={"slices": slices})
        train(task, params, 0, runner(), tmp_path / f"{slices}.pt", 0, "test")
    one, four = (weights(t) for t in tasks)
    assert all(torch.allclose(one[k], four[k], atol=1e-5) for k in one)


def test_gradients_are_summed_in_the_order_of_slices_also_where_two_are_one_tensor():
    one, big = torch.ones(3), torch.full((3,), 2.0**24)
    summed = InOrder(3)
    # fp32 tells the order: (1 + 2**24) - 2**24 is 0, and 2**24 - 2**24 + 1 is 1.
    for index, parts in ((2, (-big, -big, None)), (0, (one, one, None)), (1, (big, None, None))):
        summed.add(index, parts)
    assert summed.total[0].tolist() == [0.0] * 3
    assert summed.total[1].tolist() == (one - big).tolist()
    assert summed.total[2] is None
    assert one.tolist() == [1.0] * 3


class Normalised(nn.Module):
    """A batch norm over the rows, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.norm, self.out = MaskedBatchNorm(5), nn.Linear(5, 1)

    def forward(self, rows):
        return self.out(self.norm(rows[None], torch.ones(1, len(rows), dtype=torch.bool))[0])


@pytest.mark.parametrize("slices", [1, 2, 4])
def test_a_batch_norm_sees_one_slice(tmp_path, slices):
    task = Regression()
    task.model = Normalised()
    rows = task.batch(range(TRAIN.batch)).waves
    params = TRAIN.model_copy(update={"steps": 1, "slices": slices})
    train(task, params, 0, runner(), tmp_path / "s.pt", 0, "test")
    variances = torch.stack([part.var(0, unbiased=False) for part in rows.chunk(slices)])
    torch.testing.assert_close(task.model.norm.running_variance, 0.9 + 0.1 * variances.mean(0))


@pytest.mark.parametrize("die_at", [1, 2, 5, 11])
@pytest.mark.parametrize("average", [0, 2])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, die_at, average):
    ranks = [0.3, 0.1, 0.2, 0.4]
    whole = Regression(ranks)
    expected = train(whole, TRAIN, average, runner(), tmp_path / "a.pt", 0, "test")
    state = tmp_path / "b.pt"
    with pytest.raises(Killed):
        train(Regression(ranks, die_at), TRAIN, average, runner(), state, 0, "test")
    task = Regression(ranks)
    # Validations before the kill are in the checkpoint and are not run again.
    done = 0
    if state.is_file():
        done = len(torch.load(state, weights_only=True)["rows"])
    task.seen = [None] * done
    outcome = train(task, TRAIN, average, runner(), state, 0, "test")
    assert equal(weights(task), weights(whole))
    assert outcome == expected


def test_the_best_validations_are_averaged(tmp_path):
    task = Regression(ranks=[0.3, 0.1, 0.2, 0.4])
    outcome = train(task, TRAIN, 2, runner(), tmp_path / "s.pt", 0, "test")
    assert outcome.steps == [6, 9]
    first, second = task.seen[1], task.seen[2]
    for name, value in weights(task).items():
        assert torch.allclose(value, (first[name] + second[name]) / 2, atol=1e-7)
        assert not torch.equal(value, second[name])


def test_equal_validations_go_to_the_earlier_one(tmp_path):
    task = Regression(ranks=[0.2, 0.1, 0.1, 0.1])
    outcome = train(task, TRAIN, 1, runner(), tmp_path / "s.pt", 0, "test")
    assert outcome.steps == [6]
    assert equal(weights(task), task.seen[1])


@pytest.mark.parametrize("die_at", [-1, 7])
def test_training_stops_when_nothing_gets_better(tmp_path, die_at):
    ranks, state = [0.3, 0.1, 0.2, 0.05], tmp_path / "s.pt"
    if die_at >= 0:
        with pytest.raises(Killed):
            train(Regression(ranks, die_at), TRAIN, 1, runner(), state, 0, "test", patience=1)
    task = Regression(ranks)
    task.seen = [None] * (2 if die_at >= 0 else 0)
    outcome = train(task, TRAIN, 1, runner(), state, 0, "test", patience=1)
    assert [row["step"] for row in outcome.rows] == [3, 6, 9]
    assert outcome.steps == [6]


@pytest.mark.parametrize(("patience", "end"), [(2, 9), (3, 12), (0, 12)])
def test_patience_of_all_but_two_validations_is_the_longest_that_ends_training(
    tmp_path, patience, end
):
    assert TRAIN.validations == 4
    task = Regression(ranks=[0.1, 0.2, 0.3, 0.4])
    outcome = train(task, TRAIN, 1, runner(), tmp_path / "s.pt", 0, "test", patience=patience)
    assert outcome.rows[-1]["step"] == end


def test_without_averaging_the_last_weights_stay(tmp_path):
    task = Regression(ranks=[0.1, 0.2, 0.3, 0.4])
    assert train(task, TRAIN, 0, runner(), tmp_path / "s.pt", 0, "test").steps == [12]
    assert equal(weights(task), task.seen[-1])


def test_a_parameter_without_gradient_is_named(tmp_path):
    task = Regression()
    task.model.add_module("unused", nn.Linear(1, 1))
    task.model.forward = lambda x: task.model[2](task.model[1](task.model[0](x)))
    with pytest.raises(MixframeError, match=r"(?s)2 of 6 .*unused.weight.*unused.bias"):
        train(task, TRAIN, 0, runner(), tmp_path / "s.pt", 0, "test")


def test_nothing_to_train_is_refused(tmp_path):
    task = Regression()
    task.model.requires_grad_(False)
    with pytest.raises(MixframeError, match="no parameter is trainable"):
        train(task, TRAIN, 0, runner(), tmp_path / "s.pt", 0, "test")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path):
    task = Regression()
    good = task.batch

    def bad(numbers):
        batch = good(numbers)
        if numbers.start != 4 * TRAIN.batch:
            return batch
        return Batch(batch.waves / 0, batch.lengths, batch.targets)

    task.batch = bad
    with pytest.raises(MixframeError, match="the loss is nan at step 4"):
        train(task, TRAIN, 0, runner(), tmp_path / "s.pt", 0, "test")


def test_the_share_of_padding_is_told(tmp_path, capsys):
    task = Regression()
    good = task.batch

    def shorter(numbers):
        batch = good(numbers)
        # Four slices of two: the first is cut to three samples, in the last one two are padding.
        lengths = torch.tensor([3, 3, 5, 5, 5, 5, 5, 3])
        waves = torch.where(torch.arange(5) < lengths[:, None], batch.waves, 0.0)
        return Batch(waves, lengths, batch.targets)

    task.batch = shorter
    task.loss = lambda part: task.model(
        nn.functional.pad(part.waves, (0, 5 - part.waves.shape[1]))
    ).sum()
    train(task, TRAIN, 0, runner(), tmp_path / "s.pt", 0, "test")
    assert "test: 5.6% of the samples computed were padding" in capsys.readouterr().err


def test_learning_rate_by_hand():
    rates = [learning_rate(TRAIN, step) for step in range(12)]
    assert rates[:3] == pytest.approx([0.025, 0.05, 0.05])
    assert rates[7] == pytest.approx(0.025)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    flat = TRAIN.model_copy(update={"schedule": "constant"})
    assert learning_rate(flat, 11) == 0.05


def test_only_adam_scales_the_decay_with_the_gradient(tmp_path):
    # Adam's first step is lr in the direction of what it is given, whatever its size.
    moved = {}
    for optimiser in ("adam", "adamw"):
        task = Regression()
        before = weights(task)
        once = {"steps": 1, "warmup": 0, "schedule": "constant", "clip_norm": 0.0}
        params = TRAIN.model_copy(
            update={**once, "optimiser": optimiser, "lr": 1e-3, "weight_decay": 100.0}
        )
        train(task, params, 0, runner(), tmp_path / f"{optimiser}.pt", 0, "test")
        moved[optimiser] = {k: v - before[k] for k, v in weights(task).items()}
    for name, weight in before.items():
        assert torch.allclose(moved["adam"][name], -1e-3 * weight.sign(), rtol=1e-2)
        undecayed = moved["adamw"][name] + 1e-3 * 100 * weight
        assert torch.allclose(undecayed.abs(), torch.full_like(weight, 1e-3), rtol=1e-2)


def test_cuda_is_refused_by_name_where_there_is_none():
    compute = Compute(
        device="cuda", processes=1, threads=0, workers=0, keep_utterances=0, isa="pinned"
    )
    if torch.cuda.is_available():
        assert Runner(compute).threads == 1
    else:
        with pytest.raises(MixframeError, match=r"compute\.device = 'cuda'"):
            Runner(compute)


def test_stages_side_by_side_take_different_gpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    first, second, third = FreeGpu(), FreeGpu(), FreeGpu()
    assert [first.index, second.index, third.index] == [0, 1, 0]
    del second
    assert FreeGpu().index == 1


def test_a_gpu_rounds_to_tf32_in_training_that_asks_for_it_and_nowhere_else():
    part = Batch(torch.zeros(1, 400), torch.tensor([400]), torch.zeros(1))

    def rounds(*_):
        return torch.tensor(
            [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
        )

    for precision in ("tf32", "fp32"):
        run = runner(precision=precision)
        [trained] = run.map(rounds, [part])
        [inferred] = run.infer(rounds, [part])
        assert trained.tolist() == [precision == "tf32"] * 2
        assert inferred.tolist() == [False] * 2
        [inferred] = run.infer(rounds, [part], "tf32")
        assert inferred.tolist() == [True] * 2


@given(
    steps=st.integers(1, 9),
    batch=st.sampled_from([4, 8]),
    bucket=st.integers(0, 12),
    lengths=st.lists(st.integers(1, 6), min_size=72, max_size=72),
    seed=st.integers(0, 2**63),
)
def test_every_draw_falls_to_one_step_and_one_process(steps, batch, bucket, lengths, seed):
    params = TRAIN.model_copy(update={"steps": steps, "batch": batch, "bucket": bucket})

    def shares(step, count):
        samples = lengths.__getitem__
        return [numbers(params, step, World(i, count), samples, seed) for i in range(count)]

    whole = [list(shares(step, 1)[0]) for step in range(steps)]
    assert sorted(n for step in whole for n in step) == list(range(steps * batch))
    for step, mine in enumerate(whole):
        for count in (2, 4):
            parts = shares(step, count)
            assert [n for part in parts for n in part] == mine
            assert {len(part) for part in parts} == {batch // count}
    if not bucket:
        assert whole == [list(range(s * batch, (s + 1) * batch)) for s in range(steps)]
        return
    for first in range(0, steps, bucket):
        pool = whole[first : first + bucket]
        # These steps' draws without buckets; lengths of batches do not overlap.
        assert sorted(n for step in pool for n in step) == list(
            range(first * batch, (first + len(pool)) * batch)
        )
        assert all(lengths[a] >= lengths[b] for step in pool for a, b in pairwise(step))
        spans = sorted((lengths[step[-1]], lengths[step[0]]) for step in pool)
        assert [length for span in spans for length in span] == sorted(
            length for span in spans for length in span
        )


def test_buckets_are_given_out_at_random():
    params = TRAIN.model_copy(update={"steps": 40, "bucket": 40})
    firsts = [
        [numbers(params, step, World(), lambda draw: draw, seed)[0] // 8 for step in range(40)]
        for seed in (0, 1)
    ]
    assert sorted(firsts[0]) == sorted(firsts[1]) == list(range(40))
    assert firsts[0] != firsts[1]
    assert sorted(firsts[0]) != firsts[0]


class Lengths(Regression):
    """A draw's row has 1 to 5 samples."""

    def samples(self, draw):
        return 1 + draw * 7 % 5

    def batch(self, numbers):
        lengths = torch.tensor([self.samples(draw) for draw in numbers])
        rows = torch.stack(
            [torch.randn(5, generator=torch.Generator().manual_seed(n)) for n in numbers]
        )
        waves = torch.where(torch.arange(5) < lengths[:, None], rows, 0.0)[:, : lengths.max()]
        return Batch(waves, lengths, waves.sum(1).sin())

    def loss(self, part):
        waves = nn.functional.pad(part.waves, (0, 5 - part.waves.shape[1]))
        return (self.model(waves).squeeze(-1) - part.targets).square().sum()


def test_buckets_pad_less_and_a_killed_run_ends_the_same(tmp_path, capsys):
    shares, ends = [], []
    for bucket, killed in ((0, False), (1, False), (3, False), (3, True)):
        params = TRAIN.model_copy(update={"bucket": bucket})
        task = Lengths()
        state = tmp_path / f"{bucket}.{killed}.pt"
        if killed:
            task.ranks = [0.0] * 2
            with pytest.raises(IndexError):
                train(task, params, 0, runner(), state, 0, "test")
            task = Lengths()
        capsys.readouterr()
        train(task, params, 0, runner(), state, 0, "test")
        said = re.search(r"test: ([\d.]+)% of the samples", capsys.readouterr().err)
        shares.append(float(said[1]))
        ends.append(weights(task))
    assert shares[0] > shares[1] > shares[2]
    assert equal(ends[2], ends[3])
    assert not equal(ends[1], ends[2])


def test_a_bucket_of_one_step_changes_the_order_of_a_batch_alone(tmp_path):
    ends = []
    for bucket in (0, 1):
        task = Lengths()
        params = TRAIN.model_copy(update={"bucket": bucket})
        train(task, params, 0, runner(), tmp_path / f"{bucket}.pt", 0, "test")
        ends.append(weights(task))
    assert all(torch.allclose(ends[0][k], ends[1][k], atol=1e-5) for k in ends[0])


def test_dropout_of_a_slice_does_not_depend_on_the_others(tmp_path):
    curves = []
    for _ in range(2):
        task = Regression()
        task.model.insert(2, nn.Dropout(0.5))
        sequential = Runner(
            Compute(
                device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned"
            ),
            sequential=True,
        )
        torch.manual_seed(len(curves))
        outcome = train(task, TRAIN, 0, sequential, tmp_path / f"{len(curves)}.pt", 0, "test")
        curves.append(outcome.rows)
    assert curves[0] == curves[1]


def test_a_damaged_checkpoint_is_named(tmp_path):
    state = tmp_path / "s.pt"
    with pytest.raises(Killed):
        train(Regression(die_at=9), TRAIN, 1, runner(), state, 0, "test")
    data = state.read_bytes()
    for content in (b"", data[:100], data[:-100], b"\0" * 1000):
        state.write_bytes(content)
        with pytest.raises(MixframeError, match=r"s\.pt: no checkpoint, .*remove it to train"):
            train(Regression(), TRAIN, 1, runner(), state, 0, "test")
    torch.save({"model": {}}, state)
    with pytest.raises(MixframeError, match=r"s\.pt: no checkpoint"):
        train(Regression(), TRAIN, 1, runner(), state, 0, "test")
