"""The fast gradient sign method (Goodfellow et al., 2015)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixframe.training.adversarial.attack import Attack

if TYPE_CHECKING:
    from torch import Tensor

    from mixframe.training.adversarial.attack import Objective


class Fgsm(Attack):
    """One step from the utterance to the surface of the ball, where its gradient points."""

    kind: Literal["fgsm"]

    def search(
        self,
        objective: "Objective",
        waves: Sequence["Tensor"],
        rngs: Sequence[np.random.Generator],
    ) -> list["Tensor"]:
        """See `Attack`."""
        from mixframe.training.adversarial.moves import gradients, moved

        _, slopes = gradients(objective, waves, self.expectation, rngs)
        ball = self.ball
        each = [(wave, ball.radius(wave), slope) for wave, slope in zip(waves, slopes, strict=True)]
        return [
            moved(wave, ball.project(radius * ball.steepest(slope), radius))
            for wave, radius, slope in each
        ]
