"""Fine-tuning on the frame labels of a corpus, alone or beside those of utterances."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mixframe.audio.frames import Labels
from mixframe.audio.io import SAMPLE_RATE, Reader
from mixframe.audio.spoofed import labels_of_crop, spoofed_parts, whole_utterances
from mixframe.metrics import detection
from mixframe.models.detector import BONAFIDE, SPOOF
from mixframe.models.frame_head import FrameDetector, Units, grouped
from mixframe.models.frame_params import FrameHeadSection
from mixframe.training.data import Batch, crop
from mixframe.training.frames import by_frame
from mixframe.training.loop import Validation
from mixframe.training.params import Score, UtteranceTraining
from mixframe.training.runner import Runner
from mixframe.training.utterances import UtteranceTask


def frame_losses(
    units: Sequence[Units], labels: Tensor, sizes: Sequence[int], positive: float
) -> Tensor:
    """Return (B,) the mean binary cross-entropy of each utterance's units, and over resolutions.

    Args:
        units: logits and mask of each resolution.
        labels: (B, T) of frames, 1 = spoof; a unit is spoof if any of its frames is.
        sizes: frames in a unit of each resolution.
        positive: weight of spoofed units.
    """
    losses = []
    for size, (logits, valid) in zip(sizes, units, strict=True):
        wanted = grouped(labels, size).amax(2)[:, : logits.shape[1]].float()
        each = nn.functional.binary_cross_entropy_with_logits(
            logits.float(),
            wanted,
            pos_weight=logits.new_full((), positive).float(),
            reduction="none",
        )
        losses.append((each * valid).sum(1) / valid.sum(1))
    return torch.stack(losses).mean(0)


class FrameLabelTask(UtteranceTask):
    """The task of stage finetune for a head that judges frames.

    An utterance's loss is that of its frames and that of its label, each with its weight, and
    counts as much as its class weight says.
    """

    model: FrameDetector

    def __init__(
        self,
        model: FrameDetector,
        params: UtteranceTraining,
        head: FrameHeadSection,
        scoring: Score,
        read: Reader,
        train: pd.DataFrame,
        dev: pd.DataFrame,
        seed: int,
    ) -> None:
        """See `UtteranceTask`."""
        super().__init__(model, params, scoring, read, train, dev, seed)
        self._head = head
        self._parts = spoofed_parts(train)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return crops; targets (B, 1 + T) int64: the class of the utterance, then its frames'."""
        batch = super().batch(numbers)
        labels = [torch.from_numpy(self._frame_labels(draw)) for draw in numbers]
        padded = nn.utils.rnn.pad_sequence(labels, batch_first=True).long()
        return replace(batch, targets=torch.cat([batch.targets[:, None], padded], dim=1))

    def _frame_labels(self, draw: int) -> Labels:
        """Return the labels of the crop that `UtteranceTask.batch` takes at this draw."""
        item = int(self._order[draw])
        start, length = crop(self._samples[item], self._longest, self._seed, draw)
        if self._params.crop == "first":
            start = 0
        return labels_of_crop(self._parts[item], start, length, self.model.backbone.grid)

    def weight(self, batch: Batch) -> float:
        """Return the summed class weights."""
        return super().weight(replace(batch, targets=batch.targets[:, 0]))

    def loss(self, part: Batch) -> Tensor:
        """Return the summed losses of the utterances, times their class weights."""
        classes, labels = part.targets[:, 0], part.targets[:, 1:]
        of_utterance, units = self.model.training_outputs(part.waves, part.lengths)
        losses = self._head.loss_weights[0] * self._frame_losses(units, labels)
        for share, logits in of_utterance:
            of_class = nn.functional.cross_entropy(logits.float(), classes, reduction="none")
            losses = losses + share * of_class
        return (self._weights.to(losses.device, non_blocking=True)[classes] * losses).sum()

    def _frame_losses(self, units: Sequence[Units], labels: Tensor) -> Tensor:
        return frame_losses(units, labels, self._head.resolutions, self._head.positive_weight)

    def validate(self, run: Runner) -> Validation:
        """Rank by the dev EER, or by the dev loss; Cllr settles ties. The frame EER is shown."""

        def judge(batch: Batch) -> Tensor:
            """Return (B, T, 3): logits of frames; score and loss of the utterance at each."""
            scores, logits, units = self.model.judged(batch.waves, batch.lengths)
            losses = self._frame_losses(units, batch.targets)
            beside = [x[:, None].expand_as(logits) for x in (scores, losses)]
            return torch.stack([logits, *beside], dim=2)

        recipes = whole_utterances(self._dev, int(self._scoring.max_seconds * SAMPLE_RATE))
        judged, labels = by_frame(
            judge, self.model.backbone, recipes, self._scoring.batch, self._read, run
        )
        logits, scores, losses = (
            np.concatenate([rows[:, 0] for rows in judged]).astype(np.float64),
            np.array([rows[0, 1] for rows in judged], dtype=np.float64),
            np.array([rows[0, 2] for rows in judged], dtype=np.float64),
        )
        bonafide = (self._dev["label"] == "bonafide").to_numpy()
        eer = detection.eer(scores[bonafide], scores[~bonafide])
        cllr = detection.cllr(scores[bonafide], scores[~bonafide])
        of_frames, of_label = self._head.loss_weights
        losses = of_frames * losses + of_label * np.logaddexp(
            0, np.where(bonafide, -scores, scores)
        )
        weights = self._weights.numpy()[np.where(bonafide, BONAFIDE, SPOOF)]
        loss = float(np.average(losses, weights=weights))
        spoof = np.concatenate(labels) == 1
        frame_eer = detection.eer(-logits[~spoof], -logits[spoof])
        rank = (eer, cllr) if self._params.select == "eer" else (loss, cllr)
        figures = {"dev_eer": eer, "dev_cllr": cllr, "dev_loss": loss, "dev_frame_eer": frame_eer}
        return Validation(rank, figures)
