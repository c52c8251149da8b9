"""What a voting head looks at: the frames it chooses, and the attention of its class token."""

import torch
from torch import Tensor

from mixframe.models.backbone import encode, frame_mask
from mixframe.models.detector import Detector
from mixframe.models.sequence import SequenceClassifier


def watch(detector: Detector, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Map (B, N) padded waveforms and (B,) lengths in samples to what the head sees in them.

    Returns:
        (B, T) int64, in how many blocks each frame was chosen; and (B, T) float32, the attention
        from the class token to each frame, a mean over heads and blocks and 0 where no frame is. An
        utterance's attention sums to 1 with that of the token to itself.
    """
    head = detector.head
    layers = encode(detector.backbone, waves, lengths, head.all_layers)
    mask = frame_mask(detector.backbone.grid, lengths, layers[-1].shape[1])
    mask = mask.to(waves.device, non_blocking=True)
    return head.chosen(layers, mask), attention(head, layers[-1], mask)


def attention(head: SequenceClassifier, frames: Tensor, mask: Tensor) -> Tensor:
    """Return the attention that `watch` returns, of a head for (B, T, D) frames, a (B, T) mask."""
    x, present = head.embed(frames, mask)
    weights = []
    for block in head.blocks:
        x, of_block = block(x, present, watch=True)
        weights.append(of_block.float().mean(1))
    return torch.stack(weights).mean(0)
