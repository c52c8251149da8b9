"""What a splice pattern is given and what it gives back."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Regions = list[tuple[int, int]]
"""Disjoint half-open frame intervals [start, end), in order."""


@dataclass(frozen=True)
class Limits:
    """What the regions of one utterance must respect.

    Attributes:
        n_frames: frames of the utterance; regions lie within [0, n_frames).
        max_regions: most regions.
        min_frames: shortest region.
        max_frames: longest region.
        max_ratio: largest share of the utterance's frames inside regions, (0, 1].
    """

    n_frames: int
    max_regions: int
    min_frames: int
    max_frames: int
    max_ratio: float

    @property
    def budget(self) -> int:
        """Most frames inside regions, over all regions."""
        return int(self.n_frames * self.max_ratio)


Pattern = Callable[[random.Random, Limits], Regions]
"""A pattern returns no regions where the utterance is too short for one."""


def place(rng: random.Random, lengths: Sequence[int], n_frames: int) -> Regions:
    """Put regions of these lengths, in this order, at random with at least one frame between them.

    Every arrangement is equally likely: the free frames are split at random into the gaps.

    Returns:
        the regions; the caller has made sure that they fit.
    """
    free = n_frames - sum(lengths) - (len(lengths) - 1)
    cuts = sorted(rng.randint(0, free) for _ in lengths)
    placed: Regions = []
    taken = 0
    for cut, length in zip(cuts, lengths, strict=True):
        start = cut + taken
        placed.append((start, start + length))
        taken += length + 1
    return placed


def draw_lengths(
    rng: random.Random, limits: Limits, n_regions: int, shortest: int, longest: int
) -> list[int]:
    """Draw up to `n_regions` lengths, uniform in [shortest, longest], within the frame budget.

    Lengths stop being drawn when the budget or the room for gaps is used up.
    """
    lengths: list[int] = []
    for _ in range(n_regions):
        room = min(
            limits.budget - sum(lengths), limits.n_frames - sum(lengths) - len(lengths), longest
        )
        if room < shortest:
            break
        lengths.append(rng.randint(shortest, room))
    return lengths
