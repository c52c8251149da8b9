"""What every utterance-level head is."""

from collections.abc import Sequence

from torch import Tensor, nn


class Head(nn.Module):
    """From frame representations to two logits: spoof, bona fide.

    Its `forward` maps layers of (B, T, D) and mask (B, T), true for frames, to (B, 2) logits.

    Attributes:
        all_layers: whether it wants every layer of the encoder; else the last one alone.
    """

    all_layers = False

    def training_logits(self, layers: Sequence[Tensor], mask: Tensor) -> list[tuple[float, Tensor]]:
        """Return (B, 2) logits that training looks at, each with its weight in the loss."""
        return [(1.0, self(layers, mask))]
