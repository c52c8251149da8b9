"""Utterance training: tiling, augmentation and early stopping."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE
from mixframe.audio.io import read as read_audio
from mixframe.base.compute import Compute
from mixframe.experiment.params import read_preset
from mixframe.models.detector import BONAFIDE, SPOOF, Detector
from mixframe.models.params import Encoder
from mixframe.training import runner
from mixframe.training.data import Batch, pad
from mixframe.training.loop import stale, train
from mixframe.training.params import Score
from mixframe.training.runner import Runner
from mixframe.training.scoring import window
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work
from mixframe.training.utterances import UtteranceTask

NEURAL = Neural.model_validate(
    {
        "kind": "neural",
        "encoder": "foundation",
        "adapter": {"kind": "none"},
        "head": {"kind": "pooled", "layers": "last", "pooling": "mean", "hidden": 1},
        "crop_seconds": 2.0,
        "crop": "random",
        "short": "tile",
        "augment": {"kind": "none"},
        "class_weights": [1.0, 1.0],
        "select": "eer",
        "average": 1,
        "patience": 0,
        "train": {
            "steps": 2,
            "batch": 4,
            "slices": 1,
            "optimiser": "adamw",
            "lr": 1e-3,
            "weight_decay": 0.0,
            "warmup": 0,
            "schedule": "constant",
            "clip_norm": 0.0,
            "evaluate_every": 1,
            "checkpoint_every": 1,
            "precision": "fp32",
        },
    }
)
RAWBOOST = (
    read_preset("asvspoof2019la_fgfm", Path(__file__).parents[2])
    .finetune["conformer_fgfm"]
    .augment.model_copy(update={"algorithm": 3})
    .model_dump()
)
SCORING = Score(batch=4, batch_seconds=0.0, max_seconds=10.0, merge=False)


@pytest.fixture
def task(encoder, make_manifest):
    """Return a function that makes the task of some parameters on the same corpus."""
    table = make_manifest({"train": 6, "dev": 2})
    dev = table["set"] == "dev"

    def make(params=NEURAL):
        model = Detector(encoder, params.adapter, params.head, 0)
        return UtteranceTask(model, params, SCORING, read_audio, table[~dev], table[dev], 0)

    return make


def test_short_utterances_are_repeated_to_one_length(task):
    batch = task().batch(range(4))
    assert batch.lengths.tolist() == [2 * SAMPLE_RATE] * 4
    for wave in batch.waves:
        starts = range(SAMPLE_RATE // 4, SAMPLE_RATE * 3 // 2)
        assert any(torch.equal(wave[n : n + 1000], wave[:1000]) for n in starts)


@pytest.mark.parametrize("changes", [{}, {"short": "keep"}, {"short": "keep", "crop_seconds": 0.7}])
def test_the_length_of_a_crop_is_known_before_it_is_read(task, changes):
    made = task(NEURAL.model_copy(update=changes))
    told = [made.samples(draw) for draw in range(8)]
    assert told == made.batch(range(8)).lengths.tolist()


def test_crops_start_at_the_beginning_or_anywhere(task):
    short = NEURAL.model_copy(update={"crop_seconds": 0.2, "short": "keep"})
    whole = task(NEURAL.model_copy(update={"short": "keep"}))
    starts = {}
    for crop in ("first", "random"):
        cropped = task(short.model_copy(update={"crop": crop}))
        waves = cropped.batch(range(8)).waves
        full = whole.batch(range(8)).waves
        starts[crop] = [
            best_place(wave, utterance) for wave, utterance in zip(waves, full, strict=True)
        ]
    assert starts["first"] == [0] * 8
    assert len(set(starts["random"])) > 4


def best_place(part, whole):
    """Where the samples of one are in the other, whatever their scale and offset."""
    part = part - part.mean()
    windows = whole.unfold(0, len(part), 1)
    windows = windows - windows.mean(1, keepdim=True)
    return int((windows @ part / windows.norm(dim=1).clamp_min(1e-6)).argmax())


def test_the_dev_loss_is_the_cross_entropy_that_training_has(task):
    params = NEURAL.model_copy(update={"class_weights": [0.1, 0.9]})
    made = task(params)
    made.model.eval()
    with torch.no_grad():
        made.model.head.classify.weight.normal_()
    run = Runner(
        Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned")
    )
    judged = made.validate(run)
    waves, labels = [], []
    for ref, label in zip(manifest.refs(made._dev), made._dev["label"], strict=True):
        waves.append(np.resize(read_audio(ref), 2 * SAMPLE_RATE))
        labels.append(BONAFIDE if label == "bonafide" else SPOOF)
    padded, lengths = pad(waves, made.model.backbone)
    batch = Batch(padded, lengths, torch.tensor(labels))
    with torch.no_grad():
        expected = float(made.loss(batch)) / made.weight(batch)
    assert judged.figures["dev_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("select", ["eer", "loss"])
def test_what_selects_is_a_key(task, select, monkeypatch):
    made = task(NEURAL.model_copy(update={"select": select}))
    spoof = (made._dev["label"] == "spoof").to_numpy()
    ranks = {}
    # Right but far too sure of one class; wrong order but cautious.
    for name, scores in {"ordered": 9.0 - spoof, "cautious": 0.01 * spoof}.items():
        monkeypatch.setattr(made, "dev_scores", lambda run, scores=scores: scores)
        ranks[name] = made.validate(None).rank
    assert min(ranks, key=ranks.get) == {"eer": "ordered", "loss": "cautious"}[select]


def test_what_is_scored_follows_how_it_was_trained():
    assert window(NEURAL, SCORING).samples == 2 * SAMPLE_RATE
    kept = NEURAL.model_copy(update={"short": "keep"})
    assert window(kept, SCORING).samples == 10 * SAMPLE_RATE
    assert not window(kept, SCORING).tile


def test_augmentation_is_for_training_only_and_depends_on_the_draw(task):
    augmented = NEURAL.model_validate({**NEURAL.model_dump(), "augment": RAWBOOST})
    plain, noisy = task(), task(augmented)
    clean, first = plain.batch(range(4)).waves, noisy.batch(range(4)).waves
    assert not torch.allclose(clean, first)
    assert torch.equal(first[2:], noisy.batch(range(2, 4)).waves)


@pytest.mark.parametrize(
    ("steps", "every", "longest"), [(10, 5, 0), (10, 1, 8), (11, 4, 1), (3, 5, 0)]
)
def test_the_longest_patience_is_one_that_ends_training_early(steps, every, longest):
    train = {**NEURAL.train.model_dump(), "steps": steps, "evaluate_every": every}
    values = {**NEURAL.model_dump(), "train": train}
    Neural.model_validate({**values, "patience": longest})
    with pytest.raises(ValidationError, match=f"expected at most {longest}, where 0 is never"):
        Neural.model_validate({**values, "patience": longest + 1})


def test_dev_scores_are_those_of_scoring_whatever_precision_trains(
    encoder_folder, make_manifest, tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "multiplies_bf16", lambda: True)
    table = make_manifest({"train": 4, "dev": 4})
    compute = Compute(
        device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned"
    )
    work = Work(encoder_folder, Encoder(dropout=0.0), SCORING, compute, 1, "test")
    head = {"kind": "pooled", "layers": "weighted", "pooling": "attentive", "hidden": 8}
    curves = {}
    for precision in ("fp32", "bf16"):
        train = {**NEURAL.train.model_dump(), "precision": precision}
        values = {**NEURAL.model_dump(), "adapter": {"kind": "full", "freeze": "none"}}
        params = Neural.model_validate({**values, "head": head, "train": train})
        fitted = params.fit(work, table, tmp_path / f"{precision}.pt")
        fitted.save(tmp_path / precision)
        dev = table[table["set"] == "dev"]
        assert np.array_equal(fitted.dev_scores, params.score(work, tmp_path / precision, dev))
        curves[precision] = [row["loss"] for row in fitted.curve]
    assert curves["fp32"] != curves["bf16"]


def test_a_cpu_without_bf16_trains_in_fp32_and_says_so(
    encoder_folder, make_manifest, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(runner, "multiplies_bf16", lambda: False)
    table = make_manifest({"train": 4, "dev": 4})
    compute = Compute(
        device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="native"
    )
    work = Work(encoder_folder, Encoder(dropout=0.0), SCORING, compute, 1, "test")
    curves, said = [], []
    for precision in ("fp32", "bf16"):
        train = {**NEURAL.train.model_dump(), "precision": precision}
        params = Neural.model_validate({**NEURAL.model_dump(), "train": train})
        curves.append(params.fit(work, table, tmp_path / f"{precision}.pt").curve)
        said.append("does not multiply in bf16" in capsys.readouterr().err)
    assert curves[0] == curves[1]
    assert said == [False, True]


class Kept:
    """A tensor kept for a backward pass; `now` is the bytes of all."""

    now = 0

    def __init__(self, tensor):
        self.tensor = tensor
        Kept.now += tensor.nbytes

    def __del__(self):
        Kept.now -= self.tensor.nbytes


@pytest.mark.parametrize(
    ("adapter", "dropout"),
    [
        ({"kind": "full", "freeze": "none"}, 0.0),
        ({"kind": "full", "freeze": "none"}, 0.1),
        ({"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.1, "targets": ["q_proj"]}, 0.0),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recomputed_layers_train_to_the_same_bytes_and_keep_less(
    encoder_folder, make_manifest, tmp_path, monkeypatch, adapter, dropout, precision
):
    table = make_manifest({"train": 4, "dev": 4})
    # What is kept is seen by the thread that computes.
    compute = Compute(
        device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned"
    )
    work = Work(encoder_folder, Encoder(dropout=dropout), SCORING, compute, 1, "test")
    monkeypatch.setattr(runner, "multiplies_bf16", lambda: True)
    files, kept = {}, {}
    backward = torch.autograd.grad

    def grad(*args, **kwargs):
        kept[again] = Kept.now
        return backward(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    for again in (False, True):
        train = {**NEURAL.train.model_dump(), "precision": precision, "recompute": again}
        params = Neural.model_validate({**NEURAL.model_dump(), "adapter": adapter, "train": train})
        folder = tmp_path / str(again)
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            params.fit(work, table, tmp_path / f"{again}.pt").save(folder)
        files[again] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files[True] == files[False]
    assert kept[True] < kept[False] / 2


FGFM = read_preset("smoke", Path(__file__).parents[2]).finetune["conformer_fgfm"].head.model_dump()


@pytest.mark.parametrize(
    "changes",
    [
        {"auxiliary_weight": 0.0},
        {"final_token": "unrefined"},
        {"first_choice": "all", "second_choice": "all"},
        {"first_choice": "attention", "second_choice": "attention"},
        {"second_choice": "all"},
        {"refine_feed_forward": "plain"},
        {"ties": "time"},
        {"activation": "gelu"},
    ],
    ids=str,
)
def test_a_voting_head_trains_with_every_value_of_its_keys(task, tmp_path, changes):
    params = NEURAL.model_validate(NEURAL.model_dump() | {"head": FGFM | changes})
    fine_tuning = task(params)
    before = {n: p.detach().clone() for n, p in fine_tuning.model.head.named_parameters()}
    compute = Compute(
        device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned"
    )
    outcome = train(fine_tuning, params.train, 1, Runner(compute), tmp_path / "s.pt", 0, "test")
    assert len(outcome.rows) == 2
    after = dict(fine_tuning.model.head.named_parameters())
    assert [n for n in before if torch.equal(before[n], after[n])] == []


def test_validations_since_the_best_one_are_counted():
    rows = [{"step": float(step)} for step in (10, 20, 30, 40)]
    assert stale(rows, [((0.1, 20), {}), ((0.2, 10), {})]) == 2
    assert stale(rows, [((0.1, 40), {})]) == 0
    assert stale(rows, [((0.1, 10), {})]) == 3
