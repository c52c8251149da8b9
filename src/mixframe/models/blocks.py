"""Conformer and Transformer blocks that give away what their class token attends to.

A sequence is a class token followed by frames: (B, 1 + T, D), with a mask (B, 1 + T) that is true
for the class token and for frames before each utterance's end. Attention never looks at padding and
convolutions see zeros there, so a result does not depend on the other utterances of a batch.
"""

import math

import torch
from torch import Tensor, nn

from mixframe.models.norms import MaskedBatchNorm

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "gelu": nn.GELU, "relu": nn.ReLU}
"""By the name that a preset gives."""


class Convolution(nn.Module):
    """The Conformer's convolution module (Gulati et al., Interspeech 2020), padding kept out.

    `torchaudio.models.conformer` has the same layers, but its convolution sees what the first layer
    norm makes of padding, and its batch norm counts it.
    """

    def __init__(self, dim: int, expansion: int, kernel: int, dropout: float) -> None:
        """`expansion` widens the depthwise convolution, `kernel` is its length, odd."""
        super().__init__()
        width = expansion * dim
        self.gate = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * width), nn.GLU())
        # A bias would be taken out again by the batch norm.
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.normalise = MaskedBatchNorm(width)
        self.close = nn.Sequential(nn.SiLU(), nn.Linear(width, dim), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, N, D) and mask (B, N) to (B, N, D)."""
        wide = self.gate(x) * mask[..., None]  # (B, N, E)
        wide = self.depthwise(wide.transpose(1, 2)).transpose(1, 2)
        return self.close(self.normalise(wide, mask))


class FeedForward(nn.Module):
    """Layer norm, linear, activation, linear (Gulati et al., Interspeech 2020); needs no mask."""

    def __init__(self, dim: int, factor: int, activation: str, dropout: float) -> None:
        """`factor` times `dim` is the hidden width, `activation` a key of `ACTIVATIONS`."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, factor * dim),
            ACTIVATIONS[activation](),
            nn.Dropout(dropout),
            nn.Linear(factor * dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        return self.layers(x)


class DynamicAggregation(nn.Module):
    """Dynamic aggregation feed-forward (Lu et al., NeurIPS 2022) on the time axis.

    Frames go through a pointwise, a depthwise and a pointwise convolution, each with batch norm,
    the first two with GELU; the shortcut of the depthwise one is added after its GELU. The class
    token is multiplied by an excitation computed from the mean frame.
    """

    def __init__(self, dim: int, factor: int, kernel: int, squeeze: int) -> None:
        """Hidden width `factor` x `dim`, depthwise `kernel`, excitation through `dim / squeeze`."""
        super().__init__()
        hidden = factor * dim
        self.layer_norm = nn.LayerNorm(dim)
        # A bias in front of a batch norm would be taken out again by it.
        self.widen, self.widened = nn.Linear(dim, hidden, bias=False), MaskedBatchNorm(hidden)
        self.depthwise = nn.Conv1d(
            hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False
        )
        self.mixed = MaskedBatchNorm(hidden)
        self.narrow, self.narrowed = nn.Linear(hidden, dim, bias=False), MaskedBatchNorm(dim)
        self.excite = nn.Sequential(
            nn.Linear(dim, dim // squeeze), nn.GELU(), nn.Linear(dim // squeeze, dim)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, 1 + T, D) and mask (B, 1 + T) to (B, 1 + T, D)."""
        x = self.layer_norm(x)
        token, frames, valid = x[:, :1], x[:, 1:], mask[:, 1:]
        wide = nn.functional.gelu(self.widened(self.widen(frames), valid))  # (B, T, H)
        wide = wide * valid[..., None]
        near = self.depthwise(wide.transpose(1, 2)).transpose(1, 2)
        wide = wide + nn.functional.gelu(self.mixed(near, valid))
        frames = self.narrowed(self.narrow(wide), valid) * valid[..., None]  # (B, T, D)
        mean = frames.sum(1, keepdim=True) / valid.sum(1)[:, None, None].clamp(min=1)
        return torch.cat([token * self.excite(mean), frames], dim=1)


class SelfAttention(nn.Module):
    """Layer norm and multi-head self-attention (`nn.MultiheadAttention`)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        """`heads` divides `dim`."""
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim)
        # Utterances first would lead to a fused path whose masked softmax takes twice as long.
        self.attend = nn.MultiheadAttention(dim, heads, dropout, batch_first=False)

    def forward(self, x: Tensor, mask: Tensor, watch: bool) -> tuple[Tensor, Tensor | None]:
        """Map (B, 1 + T, D) to the same.

        Returns:
            the output; and, if `watch`, the (B, K, T) attention of K heads from the class token to
            the frames.
        """
        x = self.layer_norm(x).transpose(0, 1)  # (1 + T, B, D)
        out, _ = self.attend(x, x, x, key_padding_mask=~mask, need_weights=False)
        return out.transpose(0, 1), self._from_token(x, mask) if watch else None

    @torch.no_grad()
    def _from_token(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the class token's row of the attention to (1 + T, B, D): (B, K, T).

        `nn.MultiheadAttention` would give it away only with all other rows, at four times the cost
        of its fused path.
        """
        heads, dim = self.attend.num_heads, self.attend.head_dim
        assert self.attend.in_proj_weight is not None
        assert self.attend.in_proj_bias is not None
        to_query, to_key, _ = self.attend.in_proj_weight.chunk(3)
        # Votes compare these numbers: half precision would make many of them equal.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            query = nn.functional.linear(x[0], to_query, self.attend.in_proj_bias[: heads * dim])
            query = query.unflatten(-1, (heads, dim)).transpose(0, 1) / math.sqrt(dim)
            # The bias of the keys adds the same to every frame, which the softmax takes out again.
            wanted = query @ to_key.unflatten(0, (heads, dim))  # (K, B, D)
            scores = wanted.transpose(0, 1) @ x.permute(1, 2, 0)  # (B, K, 1 + T)
            return scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)[..., 1:]


class ConformerBlock(nn.Module):
    """A Conformer block: half a feed-forward, attention, convolution, half a feed-forward, norm."""

    def __init__(
        self,
        feed_forwards: tuple[nn.Module, nn.Module],
        attention: SelfAttention,
        convolution: Convolution,
        dim: int,
    ) -> None:
        """The parts take (B, 1 + T, `dim`) and a mask and bring their own layer norms."""
        super().__init__()
        self.first, self.second = feed_forwards
        self.attention, self.convolution = attention, convolution
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor, watch: bool) -> tuple[Tensor, Tensor | None]:
        """Map (B, 1 + T, D) to the same; see `SelfAttention` for the second value."""
        x = x + 0.5 * self.first(x, mask)
        attended, weights = self.attention(x, mask, watch)
        x = x + attended
        x = x + self.convolution(x, mask)
        x = x + 0.5 * self.second(x, mask)
        return self.layer_norm(x), weights


class TransformerBlock(nn.Module):
    """A pre-norm Transformer block: attention, feed-forward."""

    def __init__(self, feed_forward: nn.Module, attention: SelfAttention) -> None:
        """The parts take (B, 1 + T, D) and a mask and bring their own layer norms."""
        super().__init__()
        self.feed_forward, self.attention = feed_forward, attention

    def forward(self, x: Tensor, mask: Tensor, watch: bool) -> tuple[Tensor, Tensor | None]:
        """Map (B, 1 + T, D) to the same; see `SelfAttention` for the second value."""
        attended, weights = self.attention(x, mask, watch)
        x = x + attended
        return x + self.feed_forward(x, mask), weights


def sinusoids(n_frames: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Return (n_frames, dim) sinusoidal positions (Vaswani et al., 2017); `dim` is even."""
    rates = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10_000.0) / dim))
    angles = torch.arange(n_frames, device=device)[:, None] * rates  # (n_frames, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(n_frames, dim)
