"""Only boundaries: regions of the shortest length, meant for a crossfade of half their length.

With such a crossfade the injector fades in and straight out again, so that a transition is all
there is to see.
"""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions, place


class BoundaryRegions(LimitedPattern):
    """One to k regions of the shortest length."""

    name: Literal["boundary"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw 1..max_regions regions of min_frames frames."""
        n_regions = rng.randint(1, self.max_regions)
        lengths = self.draw_lengths(rng, n_frames, n_regions, self.min_frames, self.min_frames)
        return place(rng, lengths, n_frames)
