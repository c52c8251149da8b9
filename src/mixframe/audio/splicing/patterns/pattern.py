"""What every splice pattern is, and what those with the usual limits share."""

import random
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from mixframe.base.schema import Positive, Section

Regions = list[tuple[int, int]]
"""Disjoint half-open frame intervals [start, end), in order."""


class Pattern(Section):
    """A section of a preset that says where regions lie."""

    name: str

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw regions within [0, n_frames); none where the utterance is too short for one."""
        raise NotImplementedError


class LimitedPattern(Pattern):
    """A pattern whose regions keep limits of number, length and share.

    Attributes:
        max_regions: most regions.
        min_frames, max_frames: shortest and longest region.
        max_ratio: largest share of the utterance's frames inside regions.
    """

    max_regions: Positive
    min_frames: Positive
    max_frames: Positive
    max_ratio: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} exceeds max_frames {self.max_frames}")
        return self

    def budget(self, n_frames: int) -> int:
        """Return the most frames inside regions, over all regions."""
        return int(n_frames * self.max_ratio)

    def draw_lengths(
        self, rng: random.Random, n_frames: int, n_regions: int, shortest: int, longest: int
    ) -> list[int]:
        """Draw up to `n_regions` lengths, uniform in [shortest, longest], within the frame budget.

        Lengths stop being drawn when the budget or the room for gaps is used up.
        """
        lengths: list[int] = []
        for _ in range(n_regions):
            used = sum(lengths)
            room = min(self.budget(n_frames) - used, n_frames - used - len(lengths), longest)
            if room < shortest:
                break
            lengths.append(rng.randint(shortest, room))
        return lengths


def place(rng: random.Random, lengths: Sequence[int], n_frames: int) -> Regions:
    """Put regions of these lengths, in this order, at random with at least one frame between them.

    Every arrangement is equally likely: the free frames are split at random into the gaps.

    Returns:
        the regions; the caller has made sure that they fit.
    """
    free = n_frames - sum(lengths) - (len(lengths) - 1)
    cuts = sorted(rng.randint(0, free) for _ in lengths)
    placed: Regions = []
    used = 0
    for cut, length in zip(cuts, lengths, strict=True):
        start = cut + used
        placed.append((start, start + length))
        used += length + 1
    return placed
