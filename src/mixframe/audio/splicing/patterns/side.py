"""One region at the beginning or at the end: a single transition, and a side of each utterance.

What is injected can only be told by a longer context: all that lies on its side of the transition.
"""

import random
from typing import Literal

from mixframe.audio.splicing.patterns.pattern import LimitedPattern, Regions


class SideRegion(LimitedPattern):
    """One region at either end; max_regions does not apply."""

    name: Literal["side"]

    def draw(self, rng: random.Random, n_frames: int) -> Regions:
        """Draw a length and which end."""
        lengths = self.draw_lengths(rng, n_frames, 1, self.min_frames, self.max_frames)
        last = bool(rng.getrandbits(1))
        return [(n_frames - n, n_frames) if last else (0, n) for n in lengths]
