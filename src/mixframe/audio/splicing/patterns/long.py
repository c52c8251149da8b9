"""One region in the longer half of the allowed lengths."""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions, place


class LongRegion(LimitedPattern):
    """One long region; max_regions does not apply."""

    name: Literal["long"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw one region of at least the middle of the allowed lengths, shorter if none fits."""
        middle = (self.min_frames + self.max_frames + 1) // 2
        lengths = self.draw_lengths(rng, n_frames, 1, middle, self.max_frames)
        if not lengths:
            lengths = self.draw_lengths(rng, n_frames, 1, self.min_frames, self.max_frames)
        return place(rng, lengths, n_frames)
