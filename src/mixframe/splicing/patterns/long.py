"""One region in the longer half of the allowed lengths."""

import random

from mixframe.splicing.patterns.limits import Limits, Regions, draw_lengths, place


def draw(rng: random.Random, limits: Limits) -> Regions:
    """Draw one region of at least the middle of the allowed lengths, shorter if none fits."""
    middle = (limits.min_frames + limits.max_frames + 1) // 2
    lengths = draw_lengths(rng, limits, 1, middle, limits.max_frames)
    lengths = lengths or draw_lengths(rng, limits, 1, limits.min_frames, limits.max_frames)
    return place(rng, lengths, limits.n_frames) if lengths else []
