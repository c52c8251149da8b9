"""Post-training: losses by hand, over valid frames only."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.audio.splicing import planning, rendering
from mixframe.audio.splicing.params import Splice
from mixframe.base.compute import Compute
from mixframe.models import backbone as backbones
from mixframe.models.params import Encoder, Full
from mixframe.training.frames import FrameModel, FrameTask, frame_batch, frame_scores
from mixframe.training.loop import train
from mixframe.training.params import Posttrain
from mixframe.training.runner import Runner
from tests.models.test_detector import LORA, TRAIN

POLICY = Splice.model_validate(
    {
        "set": "train",
        "base": "any",
        "injector": "any",
        "speaker": "any",
        "copies": 1,
        "clean_share": 0.3,
        "max_seconds": 1.0,
        "crossfade": 0,
        "match_gain": False,
        "max_gain_db": 1.0,
        "pattern": {
            "name": "regions",
            "max_regions": 2,
            "min_frames": 2,
            "max_frames": 9,
            "max_ratio": 0.5,
        },
    }
)


WHOLE = {"kind": "full", "freeze": "none"}


def posttrain(objective="frames", positive_weight=3.0, adapter=WHOLE):
    return Posttrain.model_validate(
        {
            "objective": objective,
            "adapter": adapter,
            "classifier_hidden": 8,
            "positive_weight": positive_weight,
            "localise": [],
            "train": TRAIN.model_dump(),
        }
    )


def run_of():
    return Runner(
        Compute(device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned")
    )


@pytest.fixture
def recipes(make_manifest, encoder):
    table = make_manifest({"train": 6}, seconds=(0.3, 1.5))
    planned = planning.plan(table, POLICY, encoder.grid, 0)
    return rendering.recipes(
        planned, dict(zip(table["utterance"], manifest.refs(table), strict=True))
    )


def test_the_frame_loss_is_weighted_cross_entropy_over_valid_frames(encoder, recipes):
    model = FrameModel(encoder, Full.model_validate(WHOLE), 8, 0).eval()
    task = FrameTask(model, posttrain("frames"), read, recipes, recipes, 0)
    batch = task.batch(range(4))
    assert batch.lengths.tolist() == [task.samples(draw) for draw in range(4)]
    with torch.no_grad():
        loss = float(sum(task.loss(part) for part in batch.slices(2))) / task.weight(batch)
        by_hand = []
        for i, n in enumerate(batch.lengths.tolist()):
            logits = model(batch.waves[i : i + 1, :n], batch.lengths[i : i + 1])[0]
            p = torch.sigmoid(logits)
            y = batch.targets[i, : len(logits)]
            by_hand += (-(3.0 * y * p.log() + (1 - y) * (1 - p).log())).tolist()
    assert loss == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_the_control_learns_the_label_of_the_utterance(encoder, recipes):
    model = FrameModel(encoder, Full.model_validate(WHOLE), 8, 0).eval()
    task = FrameTask(model, posttrain("utterance", 1.0), read, recipes, recipes, 0)
    batch = task.batch(range(4))
    assert batch.targets.shape == (4,)
    with torch.no_grad():
        loss = float(sum(task.loss(part) for part in batch.slices(2))) / task.weight(batch)
        by_hand = []
        for i, n in enumerate(batch.lengths.tolist()):
            mean = model(batch.waves[i : i + 1, :n], batch.lengths[i : i + 1]).mean()
            p = torch.sigmoid(mean if batch.targets[i] == 1 else -mean)
            by_hand.append(-float(p.log()))
    assert loss == pytest.approx(np.mean(by_hand), abs=1e-5)


@pytest.mark.parametrize("objective", ["frames", "utterance"])
def test_the_whole_encoder_moves(encoder, recipes, tmp_path, objective):
    model = FrameModel(encoder, Full.model_validate(WHOLE), 8, 0)
    before = {n: p.clone() for n, p in model.named_parameters()}
    task = FrameTask(model, posttrain(objective), read, recipes, recipes, 0)
    outcome = train(task, TRAIN, 0, run_of(), tmp_path / "s.pt", 0, "test")
    assert 0 <= outcome.rows[-1]["frame_eer"] <= 1
    for name, parameter in model.named_parameters():
        assert not torch.equal(before[name], parameter), name


BELOW = ("feature_extractor", "feature_projection", "pos_conv_embed", "layers.0.")


@pytest.mark.parametrize(
    ("adapter", "still"),
    [
        ({"kind": "full", "freeze": "convolutions"}, ("feature_extractor",)),
        ({"kind": "full", "freeze": 1}, BELOW),
        ({"kind": "none"}, ("encoder.",)),
    ],
)
def test_what_is_frozen_keeps_its_weights_and_the_rest_moves(
    encoder, recipes, tmp_path, adapter, still
):
    params = posttrain(adapter=adapter)
    model = FrameModel(encoder, params.adapter, 8, 0)
    before = {n: p.clone() for n, p in model.named_parameters()}
    task = FrameTask(model, params, read, recipes, recipes, 0)
    train(task, TRAIN, 0, run_of(), tmp_path / "s.pt", 0, "test")
    for name, parameter in model.named_parameters():
        frozen = any(part in name for part in still) and "classifier" not in name
        assert torch.equal(before[name], parameter) == frozen, name


def test_lora_is_merged_into_what_later_stages_read(encoder_folder, recipes, tmp_path):
    params = posttrain(adapter=LORA)
    encoder = backbones.load(encoder_folder, Encoder(dropout=0.0))
    before = {n: p.clone() for n, p in encoder.model.named_parameters()}
    model = FrameModel(encoder, params.adapter, 8, 0)
    task = FrameTask(model, params, read, recipes, recipes, 0)
    run = run_of()
    train(task, TRAIN, 0, run, tmp_path / "s.pt", 0, "test")
    adapted = frame_scores(model, recipes, 2, read, run)[0]
    model.merge()
    merged = frame_scores(model, recipes, 2, read, run)[0]
    assert max(np.abs(a - b).max() for a, b in zip(adapted, merged, strict=True)) < 1e-5
    backbones.save(encoder, tmp_path / "merged", {"do_normalize": True})
    saved = AutoModel.from_pretrained(tmp_path / "merged", local_files_only=True)
    for name, parameter in saved.named_parameters():
        adapted_here = "q_proj.weight" in name or "v_proj.weight" in name
        assert torch.equal(before[name], parameter) != adapted_here, name


def test_trained_convolutions_are_in_the_saved_encoder(encoder, recipes, tmp_path):
    model = FrameModel(encoder, Full.model_validate(WHOLE), 8, 0)
    task = FrameTask(model, posttrain(), read, recipes, recipes, 0)
    train(task, TRAIN, 0, run_of(), tmp_path / "s.pt", 0, "test")
    backbones.save(encoder, tmp_path / "saved", {"do_normalize": True})
    saved = backbones.load(tmp_path / "saved", Encoder(dropout=0.0)).model
    for name, parameter in encoder.model.named_parameters():
        assert torch.equal(saved.get_parameter(name), parameter), name


@pytest.mark.parametrize("part", ["conv", 0, -1, 1.0, True, None])
def test_a_lower_part_that_does_not_exist_is_refused(part):
    with pytest.raises(ValidationError, match="expected none, convolutions, or how many"):
        Full(kind="full", freeze=part)


def test_freezing_goes_with_full_training_alone():
    with pytest.raises(ValidationError, match="freeze"):
        posttrain(adapter=LORA | {"freeze": "convolutions"})


def test_frame_scores_come_in_order_and_fit_their_labels(encoder, recipes):
    model = FrameModel(encoder, Full.model_validate(WHOLE), 8, 0).eval()
    run = Runner(
        Compute(device="cpu", processes=1, threads=2, workers=1, keep_utterances=0, isa="pinned")
    )
    scores, labels = frame_scores(model, recipes, 2, read, run)
    for recipe, values, truth in zip(recipes, scores, labels, strict=True):
        batch, (expected,) = frame_batch([recipe], encoder, read)
        assert truth.tolist() == expected.tolist()
        with torch.no_grad():
            alone = model(batch.waves, batch.lengths)[0].numpy()
        assert np.abs(alone - values).max() < 1e-4
