"""What every attack is, how far it may go, and over what it hears its changes."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from mixframe.base.schema import AtLeast0, LabelChoice, Positive, Section

if TYPE_CHECKING:
    from torch import Tensor

    Listener = Callable[[Sequence[Tensor]], Tensor]
    """A trained system through which gradients pass: B waveforms of (n_i,) float32 samples at
    16 kHz in, (B,) scores out, higher = more bona fide. Utterances do not depend on each other."""

    Objective = Callable[[Sequence[Tensor]], Tensor]
    """What an attack raises: B waveforms in, (B,) values out."""


class Linf(Section):
    """A ball of the largest change of a sample.

    Attributes:
        epsilon: its radius, 1 = full scale: 0.001 is 32 steps of 16 bits. With 0 nothing changes.
    """

    norm: Literal["linf"]
    epsilon: Annotated[float, Field(ge=0, le=1)]

    def radius(self, wave: "Tensor") -> float:
        """Return the radius for (n,) samples."""
        return self.epsilon

    def steepest(self, gradient: "Tensor") -> "Tensor":
        """Return the (n,) change inside the ball of radius 1 that a gradient wants."""
        return gradient.sign()

    def project(self, change: "Tensor", radius: float) -> "Tensor":
        """Return the change of a ball that is nearest to (n,) samples."""
        return change.clamp(-radius, radius)

    def draw(self, wave: "Tensor", radius: float, rng: np.random.Generator) -> "Tensor":
        """Draw a change of (n,) samples uniformly from the ball."""
        return wave.new_tensor(rng.uniform(-radius, radius, len(wave)))


class Snr(Section):
    """A ball of the power of a change.

    Attributes:
        snr_db: least ratio of the powers of utterance and change, over the whole utterance.
    """

    norm: Literal["snr"]
    snr_db: Annotated[float, Field(ge=-20, le=100)]

    def radius(self, wave: "Tensor") -> float:
        """Return the largest root of a change's summed squares for (n,) samples."""
        return float(wave.norm()) * 10 ** (-self.snr_db / 20)

    def steepest(self, gradient: "Tensor") -> "Tensor":
        """See `Linf`."""
        return gradient / gradient.norm().clamp_min(1e-30)

    def project(self, change: "Tensor", radius: float) -> "Tensor":
        """See `Linf`."""
        norm = float(change.norm())
        return change * (radius / norm) if norm > radius else change

    def draw(self, wave: "Tensor", radius: float, rng: np.random.Generator) -> "Tensor":
        """Draw a change of (n,) samples, of any direction, on the surface of the ball."""
        noise = rng.standard_normal(len(wave))
        return wave.new_tensor(noise * radius / np.linalg.norm(noise))


class Expectation(Section):
    """Expectation over transformations (Athalye et al., 2018): what the change has to survive.

    A gradient is the mean over `draws` of what is drawn here; with all three at 0 there is one.

    Attributes:
        draws: for each gradient.
        shift_ms: most by which the utterance moves to either side, with silence behind it.
        gain_db: most by which its level changes, up or down.
        noise_db: level of white noise below the utterance's; 0 for no noise.
    """

    draws: Positive
    shift_ms: AtLeast0
    gain_db: AtLeast0
    noise_db: AtLeast0

    @property
    def exact(self) -> bool:
        """Whether nothing is drawn."""
        return not (self.shift_ms or self.gain_db or self.noise_db)


class Attack(Section):
    """A section of a preset that says how waveforms are changed to move a score.

    Attributes:
        target: label of the utterances that it changes: spoof moves them towards bona fide,
            bonafide towards spoof, any each towards the other.
        ball: how far it may go; see `Linf` and `Snr`.
        expectation: what gradients are averaged over.
    """

    kind: str
    target: LabelChoice
    ball: Annotated[Linf | Snr, Field(discriminator="norm")]
    expectation: Expectation

    @property
    def gradients(self) -> int:
        """How many gradients it takes of an utterance."""
        return 1 if self.expectation.exact else self.expectation.draws

    def targets(self, label: str) -> bool:
        """Tell whether it changes utterances of a label."""
        return self.target in (label, "any")

    def search(
        self,
        objective: "Objective",
        waves: Sequence["Tensor"],
        rngs: Sequence[np.random.Generator],
    ) -> list["Tensor"]:
        """Return waveforms inside the ball around each that raise the objective.

        Args:
            waves: (n_i,) float32; what is added to them is a multiple of a step of 16 bits.
            rngs: one for each, from which all that is random about its change comes.
        """
        raise NotImplementedError


def snr_db(wave: np.ndarray, changed: np.ndarray) -> float:
    """Return the ratio of the powers of an utterance and its change in dB; inf without a change."""
    power = float(np.square(changed.astype(np.float64) - wave).sum())
    whole = float(np.square(wave.astype(np.float64)).sum())
    return 10 * math.log10(whole / power) if power and whole else math.inf
