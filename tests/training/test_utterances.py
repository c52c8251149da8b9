"""Utterance training: tiling, augmentation and early stopping."""

from pathlib import Path

import pytest
import torch

from mixframe.audio.io import SAMPLE_RATE
from mixframe.audio.io import read as read_audio
from mixframe.base.compute import Compute
from mixframe.experiment.params import read_preset
from mixframe.models.detector import Detector
from mixframe.training.loop import stale, train
from mixframe.training.params import Score
from mixframe.training.runner import Runner
from mixframe.training.scoring import window
from mixframe.training.systems.neural import Neural
from mixframe.training.utterances import UtteranceTask

NEURAL = Neural.model_validate(
    {
        "kind": "neural",
        "encoder": "foundation",
        "adapter": {"kind": "none"},
        "head": {"kind": "pooled", "layers": "last", "pooling": "mean", "hidden": 1},
        "crop_seconds": 2.0,
        "short": "tile",
        "augment": {"kind": "none"},
        "class_weights": [1.0, 1.0],
        "average": 1,
        "patience": 0,
        "train": {
            "steps": 2,
            "batch": 4,
            "slices": 1,
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
SCORING = Score(batch=4, max_seconds=10.0)


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
    compute = Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0)
    outcome = train(fine_tuning, params.train, 1, Runner(compute), tmp_path / "s.pt", 0, "test")
    assert len(outcome.rows) == 2
    after = dict(fine_tuning.model.head.named_parameters())
    assert [n for n in before if torch.equal(before[n], after[n])] == []


def test_validations_since_the_best_one_are_counted():
    rows = [{"step": float(step)} for step in (10, 20, 30, 40)]
    assert stale(rows, [((0.1, 20), {}), ((0.2, 10), {})]) == 2
    assert stale(rows, [((0.1, 40), {})]) == 0
    assert stale(rows, [((0.1, 10), {})]) == 3
