"""Lost packets."""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.io import SAMPLE_RATE, Waveform

FRAME = SAMPLE_RATE // 50
"""Samples of a packet: 20 ms."""


class Loss(Distortion):
    """Packets of 20 ms that a network loses, in bursts, and what is played in their place.

    Gilbert's model with two states ("Capacity of a burst-noise channel", Bell System Technical
    Journal 39, 1960): all packets of the bad state are lost, none of the good one.

    Attributes:
        share: of the packets that are lost, in the long run.
        burst: packets that are lost one after another, on average.
        concealment: "repeat": the last packet that came, half as loud each time; "zero": silence.
    """

    kind: Literal["loss"]
    share: Annotated[float, Field(gt=0, lt=1)]
    burst: Annotated[float, Field(ge=1)]
    concealment: Literal["repeat", "zero"]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self._falls > 1:
            raise ValueError(
                f"a share of {self.share:g} is lost only in bursts of "
                f"{self.share / (1 - self.share):g} packets or more, not of {self.burst:g}"
            )
        return self

    @property
    def _falls(self) -> float:
        """Probability that the good state turns bad with the next packet."""
        return self.share / (1 - self.share) / self.burst

    def lost(self, n_packets: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Draw (n_packets,) bool: which of them are lost."""
        bad, states = bool(rng.random() < self.share), []
        for chance in rng.random(n_packets).tolist():
            states.append(bad)
            bad = chance >= 1 / self.burst if bad else chance < self._falls
        return np.array(states, dtype=bool)

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) samples to (n,); which packets are lost is drawn."""
        padded = np.pad(wave, (0, -wave.size % FRAME)).reshape(-1, FRAME)
        lost = self.lost(len(padded), rng)
        played = np.where(lost[:, None], np.float32(0), padded)
        if self.concealment == "repeat":
            for number in np.flatnonzero(lost):
                played[number] = played[number - 1] / 2 if number else 0
        return played.reshape(-1)[: wave.size]
