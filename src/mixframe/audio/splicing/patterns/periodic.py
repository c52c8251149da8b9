"""Base and injector alternate with one period over the whole utterance."""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions


class PeriodicRegions(LimitedPattern):
    """Regions of one length; max_regions does not apply, the utterance says how many there are."""

    name: Literal["periodic"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw one region length; gaps are as long as max_ratio asks, the first one random."""
        length = rng.randint(self.min_frames, self.max_frames)
        gap = max(1, -(-int(length * (1 - self.max_ratio) * 1000) // int(self.max_ratio * 1000)))
        start = rng.randint(0, gap)
        regions: Regions = []
        used = 0
        while start + length <= n_frames and used + length <= self.budget(n_frames):
            regions.append((start, start + length))
            used += length
            start += length + gap
        return regions
