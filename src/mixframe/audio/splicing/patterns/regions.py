"""One to k regions of any allowed length: the pattern of MFPT as its summary describes it."""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions, place


class AnyRegions(LimitedPattern):
    """One to k regions of any allowed length."""

    name: Literal["regions"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw a number of regions in 1..max_regions and their lengths uniformly."""
        n_regions = rng.randint(1, self.max_regions)
        lengths = self.draw_lengths(rng, n_frames, n_regions, self.min_frames, self.max_frames)
        return place(rng, lengths, n_frames)
