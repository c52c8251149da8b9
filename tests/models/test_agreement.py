"""The heads held against their published equations, written out in float64 from single operations.

What the code of Rosello et al. (Interspeech 2023) and Truong et al. (2024) computes for a Conformer
head, and that of Lu et al. (NeurIPS 2022) for the dynamic aggregation feed-forward, with our
weights. `pytest -rP` on this file prints how far they are apart; docs/methods.md has the figures.
"""

import pytest
import torch
from torch import Tensor, nn

from mixframe.models.blocks import ConformerBlock, Convolution, DynamicAggregation, SelfAttention
from mixframe.models.norms import MaskedBatchNorm
from tests.models.test_fgfm import head

PAPER = {"dim": 144, "blocks": 4, "heads": 4, "feed_forward": 4, "kernel": 31}
WIDTH, FRAMES = 1024, 208
"""Of XLS-R, and frames of 4.175 s."""
APART = 1e-5
"""How far float32 may be from the equations, in standard deviations of what they give."""


def shaken(module: nn.Module) -> nn.Module:
    """Draw norms, biases and running statistics, so that none is the 0 or 1 it starts as."""
    for part in module.modules():
        if isinstance(part, MaskedBatchNorm):
            nn.init.normal_(part.running_mean, 0, 0.3)
            nn.init.uniform_(part.running_variance, 0.5, 2.0)
        if isinstance(part, MaskedBatchNorm | nn.LayerNorm):
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + norm.eps).sqrt() * norm.weight.double() + norm.bias.double()


def batch_norm(x: Tensor, norm: MaskedBatchNorm) -> Tensor:
    """In evaluation, with channels last."""
    scaled = (x - norm.running_mean.double()) / (norm.running_variance.double() + norm.eps).sqrt()
    return scaled * norm.weight.double() + norm.bias.double()


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    y = torch.einsum("bni,oi->bno", x, layer.weight.double())
    return y if layer.bias is None else y + layer.bias.double()


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Correlate every channel of (B, N, C) with its row of (C, 1, K), zeros outside."""
    reach = weight.shape[-1] // 2
    padded = nn.functional.pad(x, (0, 0, reach, reach))
    return torch.einsum(
        "bnck,ck->bnc", padded.unfold(1, weight.shape[-1], 1), weight[:, 0].double()
    )


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def feed_forward(x: Tensor, layers: nn.Sequential) -> Tensor:
    norm, widen, _, _, narrow, _ = layers
    return linear(swish(linear(layer_norm(x, norm), widen)), narrow)


def attended(x: Tensor, layer: SelfAttention) -> Tensor:
    heads = layer.attend.num_heads
    x = layer_norm(x, layer.layer_norm)
    queries, keys, values = (
        torch.einsum("bni,oi->bno", x, part).unflatten(-1, (heads, -1))
        for part in layer.attend.in_proj_weight.double().chunk(3)
    )
    weights = torch.einsum("bnhd,bmhd->bhnm", queries, keys) / queries.shape[-1] ** 0.5
    out = torch.einsum("bhnm,bmhd->bnhd", weights.softmax(-1), values).flatten(2)
    return linear(out, layer.attend.out_proj)


def convolved(x: Tensor, layer: Convolution) -> Tensor:
    norm, widen, _ = layer.gate
    out, gate = linear(layer_norm(x, norm), widen).chunk(2, dim=-1)
    near = depthwise(out * gate.sigmoid(), layer.depthwise.weight)
    return linear(swish(batch_norm(near, layer.normalise)), layer.close[1])


def conformer(x: Tensor, block: ConformerBlock) -> Tensor:
    x = x + feed_forward(x, block.first.layers) / 2
    x = x + attended(x, block.attention)
    x = x + convolved(x, block.convolution)
    x = x + feed_forward(x, block.second.layers) / 2
    return layer_norm(x, block.layer_norm)


def far(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, in units of the standard deviation, and print both."""
    apart, scale = (ours - theirs).abs().max().item(), theirs.std().item()
    print(f"largest difference {apart:.1e}, standard deviation {scale:.2f}")
    return apart / scale


def test_the_conformer_head_computes_the_published_equations():
    torch.manual_seed(0)
    model = shaken(head("conformer", WIDTH, **PAPER))
    frames = torch.randn(3, FRAMES, WIDTH)
    x = batch_norm(linear(frames.double(), model.project), model.normalise)
    x = nn.functional.selu(x)
    angles = torch.arange(FRAMES)[:, None] / 10_000 ** (2 * (torch.arange(144).double() // 2) / 144)
    x = x + torch.where(torch.arange(144) % 2 == 0, angles.sin(), angles.cos())
    x = torch.cat([model.token.double().expand(3, 1, -1), x], dim=1)
    for block in model.blocks:
        x = conformer(x, block)
    logits = linear(x[:, :1], model.classify)[:, 0]
    with torch.no_grad():
        assert far(model([frames], torch.ones(3, FRAMES, dtype=torch.bool)), logits) < APART


@pytest.mark.parametrize("shortcut", ["after the GELU", "before the norm"])
def test_dynamic_aggregation_computes_the_published_equations(shortcut):
    torch.manual_seed(0)
    layer = shaken(DynamicAggregation(144, 4, 3, 4))
    x = torch.randn(3, 1 + FRAMES, 144)
    y = layer_norm(x.double(), layer.layer_norm)
    token, frames = y[:, :1], y[:, 1:]
    wide = gelu(batch_norm(linear(frames, layer.widen), layer.widened))
    near = depthwise(wide, layer.depthwise.weight)
    if shortcut == "after the GELU":
        wide = wide + gelu(batch_norm(near, layer.mixed))
    else:
        wide = gelu(batch_norm(near + wide, layer.mixed))
    frames = batch_norm(linear(wide, layer.narrow), layer.narrowed)
    compress, _, excite = layer.excite
    token = token * linear(gelu(linear(frames.mean(1, keepdim=True), compress)), excite)
    with torch.no_grad():
        ours = layer(x, torch.ones(3, 1 + FRAMES, dtype=torch.bool))
    apart = far(ours, torch.cat([token, frames], dim=1))
    # The other order is another block: this comparison tells them apart.
    assert apart < APART if shortcut == "after the GELU" else apart > 0.1
