"""The registry of heads, the pooled one, and the frame classifier of post-training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixframe.models.fgfm import FineGrained
from mixframe.models.head import Head
from mixframe.models.params import PooledHead
from mixframe.models.sequence import SequenceClassifier


class FrameClassifier(nn.Module):
    """The lightweight classifier of MFPT: LayerNorm, linear, GELU, linear to one logit a frame."""

    def __init__(self, dim: int, hidden: int) -> None:
        """`dim` is the width of a frame representation, `hidden` that of the hidden layer."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T) logits; above 0 = injected."""
        return self.layers(frames).squeeze(-1)


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

    def __init__(self, params: PooledHead, dim: int, n_layers: int) -> None:
        """`n_layers` counts the encoder's blocks; its input to the first one is one more layer."""
        super().__init__()
        self.all_layers = params.layers == "weighted"
        if self.all_layers:
            self.layer_weights = nn.Parameter(torch.zeros(n_layers + 1))
        self.pool: nn.Module
        if params.pooling == "attentive":
            self.pool, pooled = AttentiveStatistics(dim, params.hidden), 2 * dim
        else:
            self.pool, pooled = MeanPool(), dim
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


HEADS = {
    "pooled": Pooled,
    "conformer": SequenceClassifier,
    "transformer": SequenceClassifier,
    "conformer_fgfm": FineGrained,
    "transformer_fgfm": FineGrained,
}
"""A head is a `Head` with the constructor of `Pooled`, and one line here."""
