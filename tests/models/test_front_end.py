"""In bf16 on a CPU the encoder computes by other ways what transformers computes."""

import copy

import pytest
import torch
from transformers import AutoModel, Wav2Vec2Config

from mixframe.models import backbone as backbones

WAVES = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))


def models(norm, bias):
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
        num_conv_pos_embedding_groups=2,
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
