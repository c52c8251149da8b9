"""In bf16 on a CPU the encoder computes by other ways what transformers computes."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, Wav2Vec2Config

from mixframe.base import isa
from mixframe.models import backbone as backbones

ROOT = Path(__file__).parents[2]
WAVES = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))


def models(norm, bias, groups=2):
    """Return the library's encoder and ours, with the same weights."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=[32] * 3,
        conv_kernel=[10, 3, 2],
        conv_stride=[5, 2, 2],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=groups,
        feat_extract_norm=norm,
        conv_bias=bias,
        do_stable_layer_norm=norm == "layer",
        **backbones.switches(0.0),
    )
    theirs = AutoModel.from_config(config).train()
    return theirs, backbones.wrap(copy.deepcopy(theirs), {}).model


def run(model, bf16):
    """Return the last hidden state and the gradient of its mean square by name."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        frames = model(WAVES).last_hidden_state
    frames.float().square().mean().backward()
    return frames, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("norm", "bias"), [("group", False), ("layer", True)])
def test_fp32_is_the_librarys_to_the_bit(norm, bias):
    (theirs, their_gradients), (ours, our_gradients) = (run(m, False) for m in models(norm, bias))
    assert torch.equal(theirs, ours)
    assert their_gradients.keys() == our_gradients.keys()
    assert all(torch.equal(g, our_gradients[n]) for n, g in their_gradients.items())


@pytest.mark.parametrize(("norm", "bias"), [("group", False), ("layer", True)])
def test_bf16_is_as_far_from_fp32_as_the_librarys(norm, bias):
    theirs, ours = models(norm, bias)
    exact, exact_gradients = run(theirs, False)
    frames = {m: run(m, True) for m in (theirs, ours)}

    def off(found, expected):
        return float(
            (found.detach().float() - expected.detach()).norm()
            / expected.detach().norm().clamp(min=1e-6)
        )

    assert 0 < off(frames[ours][0], exact) < 1.5 * off(frames[theirs][0], exact) < 0.05
    assert frames[ours][1].keys() == exact_gradients.keys()
    for name, expected in exact_gradients.items():
        bound = 1.5 * off(frames[theirs][1][name], expected) + 0.01
        assert off(frames[ours][1][name], expected) < bound, name


@pytest.mark.parametrize(("norm", "bias"), [("group", False), ("layer", True)])
def test_no_convolution_in_bf16_has_its_channels_rearranged(norm, bias):
    _, ours = models(norm, bias)
    strides = []
    for layer in ours.feature_extractor.conv_layers:
        layer.register_forward_hook(lambda _m, _i, out: strides.append(out.stride()[1]))
    with torch.autocast("cpu", torch.bfloat16):
        ours(WAVES)
    assert strides == [1, 1, 1]


def test_narrow_groups_of_channels_stay_in_fp32():
    """In bf16 oneDNN computes them wrongly with AMX."""
    _, ours = models("layer", True, groups=4)
    kept = []
    convolve = ours.encoder.pos_conv_embed.conv
    convolve.register_forward_hook(lambda _m, given, out: kept.append((*given, out)))
    with torch.autocast("cpu", torch.bfloat16):
        ours(WAVES)
    [(given, out)] = kept
    assert out.dtype == torch.float32
    assert torch.equal(out, convolve(given.float()))


@pytest.mark.parametrize("groups", [2, 4, 8, 16])
def test_bf16_is_near_fp32_with_all_instructions_of_this_processor(groups):
    """Tests are held to AVX2; here a process of its own has AMX, where there is any."""
    code = (
        "from tests.models.test_front_end import models, run\n"
        f"_, ours = models('layer', True, {groups})\n"
        "exact, near = run(ours, False)[0], run(ours, True)[0]\n"
        "print(float((near.float() - exact).norm() / exact.norm()))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in isa.PINS}
    environment[isa.NATIVE] = "native"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, cwd=ROOT
    )
    assert child.returncode == 0, child.stderr.decode()
    assert float(child.stdout) < 0.05
