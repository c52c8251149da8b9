"""Projected gradient descent (Madry et al., 2018), here ascent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixframe.base.schema import Above0, Positive
from mixframe.training.adversarial.attack import Attack

if TYPE_CHECKING:
    from torch import Tensor

    from mixframe.training.adversarial.attack import Objective


class Pgd(Attack):
    """Steps along the gradient, each taken back into the ball; the best place passed is kept.

    The first start is the utterance itself, and its first step goes to the surface of the ball:
    that place is FGSM's, so PGD is never worse. Further starts are drawn from the ball.

    Attributes:
        steps: from each start.
        step: length of the others, as a share of the ball's radius.
        starts: how many there are.
    """

    kind: Literal["pgd"]
    steps: Positive
    step: Above0
    starts: Positive

    @property
    def gradients(self) -> int:
        """See `Attack`."""
        return super().gradients * self.steps * self.starts

    def search(
        self,
        objective: "Objective",
        waves: Sequence["Tensor"],
        rngs: Sequence[np.random.Generator],
    ) -> list["Tensor"]:
        """See `Attack`."""
        import torch

        from mixframe.training.adversarial.moves import gradients, moved, values

        ball = self.ball
        radii = [ball.radius(wave) for wave in waves]
        each = list(zip(waves, radii, rngs, strict=True))
        best = list(waves)
        highest = torch.full((len(waves),), -torch.inf, device=waves[0].device)
        for start in range(self.starts):
            changes = [
                ball.draw(wave, radius, rng) if start else wave.new_zeros(len(wave))
                for wave, radius, rng in each
            ]
            for number in range(self.steps + 1):
                places = [moved(w, c) for w, c in zip(waves, changes, strict=True)]
                if number < self.steps:
                    reached, slopes = gradients(objective, places, self.expectation, rngs)
                else:
                    reached = values(objective, places)
                for row in (reached > highest).nonzero().flatten().tolist():
                    best[row] = places[row]
                highest = reached.maximum(highest)
                if number == self.steps:
                    break
                share = self.step if start or number else 1.0
                changes = [
                    ball.project(change + share * radius * ball.steepest(slope), radius)
                    for change, radius, slope in zip(changes, radii, slopes, strict=True)
                ]
        return best
