"""The frame classifier of post-training."""

from torch import Tensor, nn


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
