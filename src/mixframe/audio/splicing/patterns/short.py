"""As many regions as allowed, each in the shorter half of the allowed lengths."""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions, place


class ShortRegions(LimitedPattern):
    """As many short regions as allowed."""

    name: Literal["short"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw max_regions regions of at most the middle of the allowed lengths."""
        middle = (self.min_frames + self.max_frames) // 2
        lengths = self.draw_lengths(rng, n_frames, self.max_regions, self.min_frames, middle)
        return place(rng, lengths, n_frames)
