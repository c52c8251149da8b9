"""Only boundaries: regions of the shortest length, meant for a crossfade of half their length.

With such a crossfade the injector fades in and straight out again, so that a transition is all
there is to see.
"""

import random

from mixframe.splicing.patterns.limits import Limits, Regions, draw_lengths, place


def draw(rng: random.Random, limits: Limits) -> Regions:
    """Draw 1..max_regions regions of min_frames frames."""
    n_regions = rng.randint(1, limits.max_regions)
    lengths = draw_lengths(rng, limits, n_regions, limits.min_frames, limits.min_frames)
    return place(rng, lengths, limits.n_frames) if lengths else []
