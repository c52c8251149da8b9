"""Fine-tuning on utterances that are attacked as the system is at each step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mixframe.audio.io import Reader
from mixframe.models.detector import BONAFIDE, Detector
from mixframe.training.adversarial.attack import Attack
from mixframe.training.adversarial.moves import padded
from mixframe.training.data import Batch
from mixframe.training.params import Score, UtteranceTraining
from mixframe.training.utterances import UtteranceTask

NOT_ATTACKED = -1


class AttackedTask(UtteranceTask):
    """The task of stage finetune in which a share of the crops is attacked.

    Which ones, and what is random about their changes, depends on seed and draw alone.
    """

    def __init__(
        self,
        model: Detector,
        params: UtteranceTraining,
        attack: Attack,
        share: float,
        scoring: Score,
        read: Reader,
        train: pd.DataFrame,
        dev: pd.DataFrame,
        seed: int,
    ) -> None:
        """See `UtteranceTask`; `share` of the crops that `attack` targets are changed."""
        super().__init__(model, params, scoring, read, train, dev, seed)
        self._attack, self._share = attack, share
        # For gradient checkpointing transformers wants waveforms that are computed from nothing.
        encoder: Any = model.backbone.model
        encoder.feature_extractor._requires_grad = False

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return crops as they are; targets (B, 2) int64: class, and draw if it is attacked."""
        waves, classes = self._crops(numbers)
        raw, lengths = padded([torch.from_numpy(wave) for wave in waves], scale=False)
        draws = [
            draw if self._attacked(draw, label) else NOT_ATTACKED
            for draw, label in zip(numbers, classes.tolist(), strict=True)
        ]
        return Batch(raw, lengths, torch.stack([classes, torch.tensor(draws)], dim=1))

    def _attacked(self, draw: int, label: int) -> bool:
        name = "bonafide" if label == BONAFIDE else "spoof"
        drawn = np.random.default_rng([self._seed, 4, draw]).random()
        return self._attack.targets(name) and drawn < self._share

    def weight(self, batch: Batch) -> float:
        """See `UtteranceTask`."""
        return super().weight(replace(batch, targets=batch.targets[:, 0]))

    def loss(self, part: Batch) -> Tensor:
        """Return what `UtteranceTask` does, of the crops after the attack."""
        classes, draws = part.targets.unbind(1)
        waves = [wave[:n] for wave, n in zip(part.waves, part.lengths.tolist(), strict=True)]
        scale, attacked = self.model.backbone.normalise, draws != NOT_ATTACKED

        def losses(heard: Sequence[Tensor]) -> Tensor:
            parts = [
                share * nn.functional.cross_entropy(x.float(), classes, reduction="none")
                for share, x in self.model.training_logits(*padded(heard, scale))
            ]
            return torch.stack(parts).sum(0) * attacked

        hits = attacked.tolist()
        if any(hits):
            # All of a slice: batch normalisation hears the others too.
            rngs = [np.random.default_rng([self._seed, 5, n]) for n in draws.clamp(min=0).tolist()]
            changed = self._attack.search(losses, waves, rngs)
            waves = [c if hit else w for w, c, hit in zip(waves, changed, hits, strict=True)]
        heard, lengths = padded(waves, scale)
        return super().loss(Batch(heard, lengths, classes))
