"""Which frames of a block are kept: multi-head voting, and what it is compared with.

Source: the multi-head voting of Xu et al., "Fine-grained visual classification via internal
ensemble learning transformer" (IEEE TMM 2023), on the time axis, as FGFM uses it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chosen:
    """The frames chosen in one block.

    Attributes:
        index: (B, v) int64 frame numbers, ascending.
        valid: (B, v) bool; false where an utterance has fewer than v frames.
    """

    index: Tensor
    valid: Tensor

    def gather(self, frames: Tensor) -> Tensor:
        """Return the chosen of (B, T, D) frames: (B, v, D), zero where not valid."""
        index = self.index[..., None].expand(-1, -1, frames.shape[-1])
        return frames.gather(1, index) * self.valid[..., None]


def vote(
    attention: Tensor, mask: Tensor, votes: int, kernel: Tensor | None, by_attention: bool
) -> Chosen:
    """Choose the frames with the highest counts of `count_votes`.

    Counts are small whole numbers, so many are equal. Padded frames are never chosen; of an
    utterance with fewer than `votes` frames all are.

    Args:
        attention: (B, K, T) attention of K heads from the class token to the frames.
        mask: (B, T) bool, true where there is a frame.
        votes: frames a head votes for and frames chosen.
        kernel: see `count_votes`.
        by_attention: equal counts are ordered by the summed attention of the heads, and by time
            where that is equal too; else by time alone.
    """
    counts = count_votes(attention, mask, votes, kernel)
    if not by_attention:
        return _first(_ranked(counts), mask, votes)
    order = _ranked(total_attention(attention, mask))
    return _first(order.gather(1, _ranked(counts.gather(1, order))), mask, votes)


def most_attended(attention: Tensor, mask: Tensor, n: int) -> Chosen:
    """Choose the `n` frames with the highest summed attention, without a vote; see `vote`."""
    return _first(_ranked(total_attention(attention, mask)), mask, n)


def all_frames(mask: Tensor) -> Chosen:
    """Choose every frame of the utterances whose frames a (B, T) mask marks."""
    index = torch.arange(mask.shape[1], device=mask.device)
    return Chosen(index.expand(mask.shape), mask)


def count_votes(attention: Tensor, mask: Tensor, votes: int, kernel: Tensor | None) -> Tensor:
    """Count the votes for each frame.

    Each head votes for the `votes` frames it attends to most, the earlier one where two are equal.
    The counts are smoothed along time with `kernel`, zero outside the utterance.

    Args:
        attention: (B, K, T) attention of K heads from the class token to the frames.
        mask: (B, T) bool, true where there is a frame.
        votes: frames a head votes for.
        kernel: (2r + 1,) weights, or None for no smoothing.

    Returns:
        (B, T) float32; -1 where there is no frame.
    """
    ballots = attention.float().masked_fill(~mask[:, None], float("-inf"))
    favourites = _ranked(ballots)[..., :votes]
    cast = torch.zeros_like(ballots).scatter_(-1, favourites, 1.0) * mask[:, None]  # (B, K, T)
    counts = cast.sum(1)
    if kernel is not None:
        weights = kernel.to(counts)[None, None]
        # In half precision different counts could become equal.
        with torch.autocast(counts.device.type, enabled=False):
            counts = torch.conv1d(counts[:, None], weights, padding=weights.shape[-1] // 2)[:, 0]
    return counts.masked_fill(~mask, -1.0)


def total_attention(attention: Tensor, mask: Tensor) -> Tensor:
    """Sum (B, K, T) attention over the heads: (B, T) float64, minus infinity where no frame is.

    In float64 the sum of a few float32 values is exact, whatever order a device adds them in.
    """
    return attention.double().sum(1).masked_fill(~mask, float("-inf"))


def _ranked(values: Tensor) -> Tensor:
    """Return the places of the values along the last axis, highest first, then by place.

    `topk` would settle ties by chance.
    """
    return values.sort(dim=-1, descending=True, stable=True).indices


def _first(ranked: Tensor, mask: Tensor, n: int) -> Chosen:
    """Return the first `n` of (B, T) ranked frames in the order of time."""
    index = ranked[:, :n].sort(dim=-1).values
    return Chosen(index, mask.gather(1, index))
