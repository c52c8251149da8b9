"""Base and injector alternate with one period over the whole utterance."""

import random

from mixframe.splicing.patterns.limits import Limits, Regions


def draw(rng: random.Random, limits: Limits) -> Regions:
    """Draw one region length; gaps are as long as max_ratio asks, the first one random.

    max_regions does not apply: the utterance's length says how many there are.
    """
    length = rng.randint(limits.min_frames, limits.max_frames)
    gap = max(1, -(-int(length * (1 - limits.max_ratio) * 1000) // int(limits.max_ratio * 1000)))
    start = rng.randint(0, gap)
    regions: Regions = []
    used = 0
    while start + length <= limits.n_frames and used + length <= limits.budget:
        regions.append((start, start + length))
        used += length
        start += length + gap
    return regions
