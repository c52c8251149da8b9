"""The pooled head: sum over layers, pooling over frames, one linear layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixframe.models.head import Head


class AttentiveStatistics(nn.Module):
    """Attentive statistics pooling (Okabe et al., Interspeech 2018)."""

    def __init__(self, dim: int, hidden: int) -> None:
        """`hidden` is the width of the attention network."""
        super().__init__()
        # A bias on the last layer would shift all frames alike, which the softmax undoes.
        self.attention = nn.Sequential(
            nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool (B, T, D) over the frames where mask (B, T) is true to (B, 2D): mean, deviation."""
        weights = self.attention(frames).squeeze(-1).masked_fill(~mask, float("-inf"))
        weights = torch.softmax(weights, dim=1)[..., None]  # (B, T, 1)
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean[:, None]).square()).sum(1)
        return torch.cat([mean, torch.sqrt(variance + 1e-7)], dim=-1)


class MeanPool(nn.Module):
    """The mean over valid frames."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool (B, T, D) over the frames where mask (B, T) is true to (B, D)."""
        weights = mask[..., None].to(frames.dtype)
        return (frames * weights).sum(1) / weights.sum(1)


class Pooled(Head):
    """Sum over layers, pooling over frames, one linear layer to two logits."""

    def __init__(self, dim: int, n_layers: int, weighted: bool, hidden: int | None) -> None:
        """See `PooledHead`.

        Args:
            dim: width of a frame representation.
            n_layers: blocks of the encoder; its input to the first one is one more layer.
            weighted: whether all layers are summed; else the last one stands alone.
            hidden: width of the attention; None for mean pooling.
        """
        super().__init__()
        self.all_layers = weighted
        if self.all_layers:
            self.layer_weights = nn.Parameter(torch.zeros(n_layers + 1))
        self.pool: nn.Module
        if hidden is None:
            self.pool, pooled = MeanPool(), dim
        else:
            self.pool, pooled = AttentiveStatistics(dim, hidden), 2 * dim
        self.classify = nn.Linear(pooled, 2)

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to (B, 2) logits: spoof, bona fide."""
        frames = layers[-1]
        if self.all_layers:
            weights = torch.softmax(self.layer_weights, dim=0)
            # Residual streams grow with depth; normalised, each layer counts by its weight alone
            # (as in S3PRL's featurizer).
            scaled = [nn.functional.layer_norm(x, x.shape[-1:]) for x in layers]
            frames = torch.stack([w * x for w, x in zip(weights, scaled, strict=True)]).sum(0)
        return self.classify(self.pool(frames, mask))
