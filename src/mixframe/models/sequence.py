"""The Conformer and the Transformer head: blocks over frames behind a class token.

Source: XLSR-Conformer (Rosello et al., Interspeech 2023; Truong et al., Interspeech 2024), and the
same with Transformer blocks. Their attention has relative positions in the first and sinusoidal
ones in the later work; here they are sinusoidal, or none.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixframe.models.blocks import (
    ConformerBlock,
    Convolution,
    FeedForward,
    SelfAttention,
    TransformerBlock,
    sinusoids,
)
from mixframe.models.head import Head
from mixframe.models.norms import MaskedBatchNorm
from mixframe.models.params import SequenceHead


class SequenceClassifier(Head):
    """A projection, a class token, blocks, and a linear layer on the class token."""

    def __init__(self, params: SequenceHead, dim: int) -> None:
        """`dim` is the width of the encoder."""
        super().__init__()
        self.project = nn.Linear(dim, params.dim)
        self.normalise = MaskedBatchNorm(1)
        self.positions = params.positions == "sinusoidal"
        # Uniform from 0 to 1, as in the code of Rosello et al. and Truong et al.
        self.token = nn.Parameter(torch.rand(1, 1, params.dim))
        self.blocks = nn.ModuleList(
            block(params, lambda: feed_forward(params)) for _ in range(params.blocks)
        )
        self.classify = nn.Linear(params.dim, 2)

    def embed(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, T, D) frames and (B, T) mask to the (B, 1 + T, d) sequence and its mask."""
        x = nn.functional.selu(self.normalise(self.project(frames), mask))  # (B, T, d)
        if self.positions:
            x = x + sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
        token = self.token.expand(len(x), -1, -1).to(x.dtype)
        return torch.cat([token, x * mask[..., None]], dim=1), with_token(mask)

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to (B, 2) logits: spoof, bona fide."""
        x, present = self.embed(layers[-1], mask)
        for layer in self.blocks:
            x, _ = layer(x, present, watch=False)
        return self.classify(x[:, 0])


def with_token(mask: Tensor) -> Tensor:
    """Put a true for the class token in front of a (B, T) mask: (B, 1 + T)."""
    return nn.functional.pad(mask, (1, 0), value=True)


def feed_forward(shape: SequenceHead) -> nn.Module:
    """Return a plain feed-forward module."""
    return FeedForward(shape.dim, shape.feed_forward, shape.activation, shape.dropout)


def block(shape: SequenceHead, make: Callable[[], nn.Module]) -> nn.Module:
    """Return a block; `make` returns a new feed-forward module for each place that has one."""
    attention = SelfAttention(shape.dim, shape.heads, shape.dropout)
    if shape.block == "transformer":
        return TransformerBlock(make(), attention)
    convolution = Convolution(shape.dim, shape.expansion, shape.kernel, shape.dropout)
    return ConformerBlock((make(), make()), attention, convolution, shape.dim)
