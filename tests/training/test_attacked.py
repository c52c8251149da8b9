"""Adversarial training: which crops are attacked, and that it is training otherwise."""

from pathlib import Path

import pytest
import torch

from mixframe.audio.io import read as read_audio
from mixframe.base.compute import Compute
from mixframe.experiment.params import read_preset
from mixframe.models import backbone as backbones
from mixframe.models.detector import BONAFIDE, SPOOF
from mixframe.models.params import Encoder
from mixframe.training.attacked import NOT_ATTACKED
from mixframe.training.params import Score
from mixframe.training.systems.adversarial import Adversarial
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work

PRESET = read_preset("smoke", Path(__file__).parents[2])
EXACT = {"draws": 1, "shift_ms": 0.0, "gain_db": 0.0, "noise_db": 0.0}
BALL = {"norm": "snr", "snr_db": 20.0}
FGSM = {"kind": "fgsm", "target": "any", "ball": BALL, "expectation": EXACT}
PGD = {**FGSM, "kind": "pgd", "steps": 2, "step": 0.5, "starts": 2}


def neural(name="lora"):
    values = PRESET.finetune[name].model_dump()
    train = {**values["train"], "steps": 2, "batch": 4, "evaluate_every": 2}
    return {**values, "encoder": "foundation", "crop_seconds": 0.4, "train": train}


def attacked(attack=FGSM, share=1.0, name="lora"):
    values = {**neural(name), "kind": "adversarial", "attack": attack, "share": share}
    return Adversarial.model_validate(values)


@pytest.fixture
def trained(encoder_folder, make_manifest, tmp_path):
    """Return a function that trains a system and returns its weights."""
    table = make_manifest({"train": 6, "dev": 2})

    def make(system, threads=1):
        compute = Compute(
            device="cpu", processes=1, threads=threads, workers=1, keep_utterances=9, isa="pinned"
        )
        scoring = Score(batch=2, batch_seconds=0.0, max_seconds=1.0, merge=False)
        work = Work(encoder_folder, Encoder(dropout=0.0), scoring, compute, 1, "test")
        fitted = system.fit(work, table, tmp_path / "state")
        folder = tmp_path / "trained"
        folder.mkdir(exist_ok=True)
        fitted.save(folder)
        return (folder / "head.safetensors").read_bytes(), fitted.curve[-1]["loss"]

    return make


@pytest.mark.parametrize("name", ["lora", "mfpt_fgfm"])
def test_a_share_of_0_is_plain_training_and_attacks_are_none(trained, name):
    plain, loss = trained(Neural.model_validate(neural(name)))
    assert trained(attacked(share=0.0, name=name)) == (plain, loss)
    changed, other = trained(attacked(name=name))
    assert changed != plain
    assert trained(attacked(name=name), threads=2) == (changed, other)
    far = trained(attacked({**FGSM, "ball": {"norm": "snr", "snr_db": 10.0}}, name=name))
    assert far[0] != changed


@pytest.fixture
def task(encoder_folder, make_manifest):
    """Return a function that makes the task of an adversarial system."""
    table = make_manifest({"train": 40, "dev": 2})
    dev = table["set"] == "dev"

    def make(system):
        encoder = backbones.load(encoder_folder, Encoder(dropout=0.0))
        work = Work(
            None,
            Encoder(dropout=0.0),
            Score(batch=2, batch_seconds=0.0, max_seconds=1.0, merge=False),
            None,
            1,
            "test",
        )
        train = system.train.model_copy(update={"steps": 20})
        system = system.model_copy(update={"train": train})
        detector = system._assemble(encoder, 0)
        return system._task(detector, work, read_audio, table[~dev], table[dev])

    return make


def test_who_is_attacked_depends_on_the_draw_alone_and_has_its_share(task):
    made = task(attacked(share=0.3))
    draws = made.batch(range(70)).targets[:, 1]
    assert torch.equal(made.batch(range(50, 70)).targets[:, 1], draws[50:])
    hit = draws != NOT_ATTACKED
    assert 10 <= int(hit.sum()) <= 32
    assert torch.equal(draws[hit], torch.arange(70)[hit])


@pytest.mark.parametrize(("target", "label"), [("spoof", SPOOF), ("bonafide", BONAFIDE)])
def test_only_the_target_is_attacked(task, target, label):
    classes, draws = task(attacked({**FGSM, "target": target})).batch(range(40)).targets.unbind(1)
    assert torch.equal(draws != NOT_ATTACKED, classes == label)


@pytest.mark.parametrize("attack", [FGSM, PGD])
def test_an_attack_raises_the_loss_of_the_batch(task, attack):
    plain, made = task(attacked(attack, share=0.0)), task(attacked(attack, share=1.0))
    batches = [one.batch(range(6)) for one in (plain, made)]
    losses = [
        float(one.loss(batch).detach()) for one, batch in zip((plain, made), batches, strict=True)
    ]
    assert losses[1] > losses[0]
    assert made.weight(batches[1]) == plain.weight(batches[0]) > 0
