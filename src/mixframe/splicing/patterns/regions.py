"""One to k regions of any allowed length: the pattern of MFPT as its summary describes it."""

import random

from mixframe.splicing.patterns.limits import Limits, Regions, draw_lengths, place


def draw(rng: random.Random, limits: Limits) -> Regions:
    """Draw a number of regions in 1..max_regions and their lengths uniformly."""
    n_regions = rng.randint(1, limits.max_regions)
    lengths = draw_lengths(rng, limits, n_regions, limits.min_frames, limits.max_frames)
    return place(rng, lengths, limits.n_frames) if lengths else []
