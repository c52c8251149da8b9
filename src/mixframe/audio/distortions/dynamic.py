"""A distortion that changes within the utterance."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mixframe.audio.distortions.distortion import LONGEST_MS, Distortion
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import Above0, Range

if TYPE_CHECKING:
    from mixframe.audio.distortions import AnyDistortion


class Dynamic(Distortion):
    """Kind and strength change within the utterance: a speaker who walks, a network that degrades.

    The utterance falls into segments of drawn lengths; each goes through one of the choices,
    another one than the segment before. Neighbours overlap and are blended in a straight line.

    Attributes:
        choices: kinds and strengths, of which each segment has one; all keep the length.
        seconds: shortest and longest segment; utterances shorter than two of the shortest have one.
        crossfade_ms: duration of a blend.
    """

    kind: Literal["dynamic"]
    choices: Annotated[list["AnyDistortion"], Field(min_length=2)]
    seconds: Range
    crossfade_ms: Above0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        changing = [choice.kind for choice in self.choices if not choice.keeps_length]
        if changing:
            raise ValueError(f"{changing[0]} changes the length, which a segment cannot")
        if self.seconds[1] * 1000 > LONGEST_MS:
            raise ValueError(f"seconds {self.seconds}: segments are of at most {LONGEST_MS:,} ms")
        if self.seconds[0] * 1000 < self.crossfade_ms:
            raise ValueError(
                f"crossfade_ms {self.crossfade_ms:g} is longer than the shortest segment, "
                f"{self.seconds[0]:g} s"
            )
        return self

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); lengths and choices are drawn, then what the choices draw."""
        ends = self._ends(wave.size, rng)
        half = max(1, round(self.crossfade_ms * SAMPLE_RATE / 2000))
        out = np.zeros(wave.size)
        chosen = -1
        for start, end in zip([0, *ends], ends, strict=False):
            others = [number for number in range(len(self.choices)) if number != chosen]
            chosen = others[rng.integers(len(others))]
            low = max(0, start - half) if start else 0
            high = min(wave.size, end + half)
            weight = np.ones(high - low)
            time = np.arange(low, high) + 0.5
            if start:
                weight *= np.clip((time - (start - half)) / (2 * half), 0, 1)
            if end < wave.size:
                weight *= np.clip((end + half - time) / (2 * half), 0, 1)
            out[low:high] += weight * self.choices[chosen].apply(wave[low:high], rng)
        return out.astype(np.float32)

    def _ends(self, n_samples: int, rng: np.random.Generator) -> list[int]:
        """Draw where segments end, the last one at `n_samples`."""
        shortest, longest = (max(1, round(s * SAMPLE_RATE)) for s in self.seconds)
        ends = []
        at = 0
        while n_samples - at >= 2 * shortest:
            # The rest is to be no shorter than a segment.
            at += int(rng.integers(shortest, min(longest, n_samples - at - shortest) + 1))
            ends.append(at)
        return [*ends, n_samples]
