"""Multi-head voting: which frames the class token attends to, by agreement of the heads.

Source: the multi-head voting of Xu et al., "Fine-grained visual classification via internal
ensemble learning transformer" (IEEE TMM 2023), on the time axis, as FGFM uses it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Votes:
    """The frames chosen in one block.

    Attributes:
        index: (B, v) int64 frame numbers, ascending; v = min(votes, T).
        valid: (B, v) bool; false where an utterance has fewer than v frames.
    """

    index: Tensor
    valid: Tensor

    def gather(self, frames: Tensor) -> Tensor:
        """Return the chosen of (B, T, D) frames: (B, v, D), zero where not valid."""
        index = self.index[..., None].expand(-1, -1, frames.shape[-1])
        return frames.gather(1, index) * self.valid[..., None]


def vote(attention: Tensor, mask: Tensor, votes: int, kernel: Tensor | None) -> Votes:
    """Choose frames by the votes of all heads.

    Each head votes for the `votes` frames it attends to most; the votes are counted, smoothed along
    time with `kernel` (zero outside the utterance), and the frames with the highest counts are
    chosen. Equal frames are taken in the order of time. Padded frames neither get a vote nor are
    chosen; of an utterance with fewer than `votes` frames all are.

    Args:
        attention: (B, K, T) attention of K heads from the class token to the frames.
        mask: (B, T) bool, true where there is a frame.
        votes: frames a head votes for and frames chosen.
        kernel: (2r + 1,) weights, or None for no smoothing.
    """
    n_chosen = min(votes, attention.shape[-1])
    ballots = attention.float().masked_fill(~mask[:, None], float("-inf"))
    # A stable sort settles ties by time; topk would settle them by chance.
    favourites = ballots.sort(dim=-1, descending=True, stable=True).indices[..., :n_chosen]
    cast = torch.zeros_like(ballots).scatter_(-1, favourites, 1.0) * mask[:, None]  # (B, K, T)
    counts = cast.sum(1)  # (B, T)
    if kernel is not None:
        weights = kernel.to(counts)[None, None]
        counts = torch.conv1d(counts[:, None], weights, padding=weights.shape[-1] // 2)[:, 0]
    counts = counts.masked_fill(~mask, -1.0)
    index = counts.sort(dim=-1, descending=True, stable=True).indices[:, :n_chosen]
    index = index.sort(dim=-1).values
    return Votes(index, mask.gather(1, index))
