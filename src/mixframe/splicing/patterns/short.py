"""As many regions as allowed, each in the shorter half of the allowed lengths."""

import random

from mixframe.splicing.patterns.limits import Limits, Regions, draw_lengths, place


def draw(rng: random.Random, limits: Limits) -> Regions:
    """Draw max_regions regions of at most the middle of the allowed lengths."""
    middle = (limits.min_frames + limits.max_frames) // 2
    lengths = draw_lengths(rng, limits, limits.max_regions, limits.min_frames, middle)
    return place(rng, lengths, limits.n_frames) if lengths else []
