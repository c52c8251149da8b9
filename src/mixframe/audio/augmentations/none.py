"""No augmentation."""

from typing import Literal

import numpy as np

from mixframe.audio.augmentations.augmentation import Augmentation
from mixframe.audio.io import Waveform


class NoAugmentation(Augmentation):
    """Training hears the utterances as they are."""

    kind: Literal["none"]

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Return the waveform itself."""
        return wave
