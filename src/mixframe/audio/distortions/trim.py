"""Removed silence."""

from typing import Literal

import numpy as np

from mixframe.audio.distortions.distortion import Distortion, Milliseconds
from mixframe.audio.distortions.signal import levels_db
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Above0

STEP = SAMPLE_RATE // 100
"""Samples of which the level is taken: 10 ms."""


class Trim(Distortion):
    """Silence at both ends is cut away. The utterance gets shorter.

    Attributes:
        below_db: 10 ms so far below the loud ones (95th percentile) are silence.
        margin_ms: silence that is left at each end.
    """

    kind: Literal["trim"]
    below_db: Above0
    margin_ms: Milliseconds

    @property
    def keeps_length(self) -> bool:
        """False."""
        return False

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (m,), 0 < m <= n; nothing is drawn."""
        level = levels_db(wave, STEP)
        # Digital silence has one level, and none of it is below the other.
        active = np.flatnonzero(level >= np.percentile(level, 95) - self.below_db)
        margin = round(self.margin_ms * SAMPLE_RATE / 1000)
        start = max(0, int(active[0]) * STEP - margin)
        return wave[start : (int(active[-1]) + 1) * STEP + margin].copy()
