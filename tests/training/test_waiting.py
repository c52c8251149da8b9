"""How often the CPU waits for the device: never in a step or a forward pass, then for the losses.

A tensor on PyTorch's meta device has no values. Whatever asks for one, to choose a branch or a
shape, fails there where it would make the CPU wait for a GPU.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, WavLMConfig

from mixframe.base.compute import Compute
from mixframe.models import backbone as backbones
from mixframe.models.building import head as new_head
from mixframe.models.detector import Detector
from mixframe.models.frame_head import FrameDetector
from mixframe.models.heads import HEADS
from mixframe.models.params import Full, Lora
from mixframe.training import loop
from mixframe.training.data import Batch
from mixframe.training.frame_labels import FrameLabelTask
from mixframe.training.frames import FrameModel, FrameTask
from mixframe.training.runner import Runner
from mixframe.training.scoring import Window, score
from mixframe.training.utterances import UtteranceTask
from tests.conftest import ARCHITECTURE
from tests.models.test_detector import LORA
from tests.training.test_frame_labels import BOTH, FRAMES, system
from tests.training.test_frames_task import posttrain
from tests.training.test_loop import TRAIN, Regression, runner
from tests.training.test_utterances import NEURAL

META = torch.device("meta")
LENGTHS = torch.tensor([4000, 3000, 4000])
WHOLE = Full(kind="full", freeze="none")
SMALL = {"dim": 16, "blocks": 2, "heads": 2, "kernel": 3}
FAMILIES = {
    "hubert": backbones.new_config(ARCHITECTURE),
    "one length after another": backbones.new_config(ARCHITECTURE),
    "wavlm": WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        **backbones.switches(0.0),
    ),
}


@pytest.fixture
def meta(monkeypatch):
    """Autocast, which the voting heads switch off, does not know this device."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())


def encoder_of(family="hubert"):
    made = backbones.wrap(AutoModel.from_config(FAMILIES[family]), {"do_normalize": True})
    return replace(made, masks_padding=False) if family.startswith("one") else made


def gradients(task, batch):
    """Compute a step's gradients on the meta device."""
    task.model.to(META).train()
    weights = [p for p in task.model.parameters() if p.requires_grad]
    return torch.autograd.grad(task.loss(batch.to(META)), weights, allow_unused=True)


def batch_of(targets, mask=None):
    return Batch(torch.randn(3, 4000), LENGTHS, targets, mask)


@pytest.mark.parametrize(
    ("kind", "family"),
    [*((kind, "hubert") for kind in HEADS), *(("pooled", family) for family in FAMILIES)],
)
def test_a_step_on_utterances_and_a_score_need_no_value(kind, family, make_manifest, meta):
    encoder = encoder_of(family)
    values = {} if kind == "pooled" else {**SMALL, "votes": 5} if "fgfm" in kind else SMALL
    adapter = Lora.model_validate(LORA) if kind == "pooled" else WHOLE
    detector = Detector(encoder, adapter, NEURAL.head, 0)
    detector.head = new_head(kind, encoder.dim, encoder.n_layers, **values)
    rows = make_manifest({"train": 2})
    task = UtteranceTask(detector, NEURAL, None, None, rows, rows, 0)
    assert gradients(task, batch_of(torch.tensor([0, 1, 1])))
    scores = detector.eval().score(torch.randn(3, 4000, device=META), LENGTHS)
    assert scores.shape == (3,)


@pytest.mark.parametrize("objective", ["frames", "utterance"])
def test_a_step_on_splices_needs_no_value(objective):
    encoder = encoder_of()
    task = FrameTask(FrameModel(encoder, WHOLE, 8, 0), posttrain(objective), None, [1], [], 0)
    mask = backbones.frame_mask(encoder.grid, LENGTHS, 12)
    targets = torch.zeros(3, 12) if objective == "frames" else torch.zeros(3)
    assert gradients(task, batch_of(targets, mask))


@pytest.mark.parametrize(
    "pooling", [{"kind": "max"}, {"kind": "topk", "share": 0.2}, "attention", None]
)
def test_a_step_on_frame_labels_needs_no_value(pooling, make_manifest):
    if pooling == "attention":
        pooling = {"kind": "attention", "hidden": 4, "weight": 1.0}
    params = system({**FRAMES, "pooling": pooling, "resolutions": [1, 4]} if pooling else BOTH)
    encoder = encoder_of()
    detector = FrameDetector(encoder, params.adapter, params.head, 0)
    rows = make_manifest({"train": 2})
    task = FrameLabelTask(detector, params, params.head, None, None, rows, rows, 0)
    targets = torch.zeros(3, 13, dtype=torch.long)
    assert gradients(task, batch_of(targets))


class Reads(TorchDispatchMode):
    """Counts how often a value leaves its tensor."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count the operations behind `item`, `float`, `if` and masks as indices."""
        names = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")
        self.count += function.name().split(".")[0] in names
        return function(*args, **(kwargs or {}))


def test_more_steps_read_no_more_single_values(tmp_path):
    counts = {}
    for steps in (20, 40, 60):
        params = TRAIN.model_copy(
            update={"steps": steps, "evaluate_every": 60, "checkpoint_every": 60, "warmup": steps}
        )
        with Reads() as reads:
            loop.train(Regression(), params, 0, runner(), tmp_path / f"{steps}.pt", 0, "test")
        # On the CPU the optimiser reads its own count of steps, for each of four weights.
        counts[steps] = reads.count - 4 * steps
    assert counts[20] == counts[40] == counts[60]


def test_losses_come_from_every_step_in_order(tmp_path):
    params = TRAIN.model_copy(update={"steps": 45, "evaluate_every": 45, "checkpoint_every": 7})
    read, seen = loop._read, []

    def watched(losses, first, what):
        seen.append(range(first, first + len(losses)))
        return read(losses, first, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_read", watched)
        rows = loop.train(Regression(), params, 0, runner(), tmp_path / "s.pt", 0, "test").rows
    assert [step for steps in seen for step in steps] == list(range(45))
    assert max(map(len, seen)) <= loop.READ_EVERY
    assert np.isfinite(rows[0]["loss"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_is_waited_for_only_to_read_losses_and_scores(tmp_path, make_manifest, precision):
    compute = Compute(
        device="cuda", processes=1, threads=0, workers=2, keep_utterances=9, isa="pinned"
    )
    rows = make_manifest({"train": 6, "dev": 2})
    detector = Detector(encoder_of(), Lora.model_validate(LORA), NEURAL.head, 0)
    task = UtteranceTask(detector, NEURAL, None, _tone, rows, rows, 0)
    task.validate = lambda run: loop.Validation((0.0,), {})
    params = TRAIN.model_copy(
        update={"steps": 4, "evaluate_every": 4, "precision": precision, "checkpoint_every": 4}
    )
    read, check = loop._read, loop.check_gradients

    def apart(function):
        """Let one function wait."""

        def call(*args):
            torch.cuda.set_sync_debug_mode("default")
            try:
                return function(*args)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_read", apart(read))
        patch.setattr(loop, "check_gradients", apart(check))
        run = Runner(compute, precision)
        try:
            loop.train(task, params, 0, run, tmp_path / "s.pt", 0, "test")
            detector.eval()
            heard, samples = Window(2, 8000, tile=False), [8000, 6000, 4000]
            score(detector, [None] * 3, samples, heard, run, _tone)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _tone(ref, start=0, n_samples=8000):
    return np.sin(np.arange(n_samples, dtype=np.float32))
