"""The neural system, trained against an attack on itself (Madry et al., 2018)."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixframe.base.schema import Share
from mixframe.training.adversarial import AnyAttack
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work

if TYPE_CHECKING:
    from mixframe.audio.io import Reader
    from mixframe.models.detector import Detector
    from mixframe.training.utterances import UtteranceTask


class Adversarial(Neural):
    """Stage finetune: `Neural`, part of whose training crops are attacked at every step.

    Attributes:
        attack: on the weights as they are at the step; it raises the training loss. Of the crops
            whose label it targets
        share: are changed.
    """

    kind: Literal["adversarial"]  # type: ignore[assignment]
    attack: AnyAttack
    share: Share

    def _task(
        self,
        detector: "Detector",
        work: Work,
        read: "Reader",
        learnt: pd.DataFrame,
        dev: pd.DataFrame,
    ) -> "UtteranceTask":
        """See `Neural`."""
        from mixframe.training.attacked import AttackedTask

        return AttackedTask(
            detector, self, self.attack, self.share, work.scoring, read, learnt, dev, work.seed
        )
