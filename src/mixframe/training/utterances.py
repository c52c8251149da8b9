"""Fine-tuning: bona fide against spoof, an utterance at a time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, Reader, Waveform
from mixframe.metrics import detection
from mixframe.models.detector import BONAFIDE, SPOOF, Detector
from mixframe.training.data import Batch, crop, draws, pad
from mixframe.training.loop import Validation
from mixframe.training.params import Score, UtteranceTraining
from mixframe.training.runner import Runner
from mixframe.training.scoring import score, window


def class_weights(labels: np.ndarray) -> list[float]:
    """Return weights [spoof, bonafide] inverse to the counts, with mean 1 over the utterances.

    Args:
        labels: (n,) of SPOOF and BONAFIDE.
    """
    counts = np.bincount(labels, minlength=2)
    return [float(w) for w in len(labels) / (2 * counts)]


def dev_loss(scores: np.ndarray, bonafide: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean cross-entropy of the two classes in nats.

    Args:
        scores: (n,), logit of bona fide minus that of spoof.
        bonafide: (n,) bool.
        weights: (2,) of SPOOF and BONAFIDE.
    """
    losses = np.logaddexp(0, np.where(bonafide, -scores, scores))
    return float(np.average(losses, weights=weights[np.where(bonafide, BONAFIDE, SPOOF)]))


class UtteranceTask:
    """The task of stage finetune; see `mixframe.training.loop.Task`."""

    def __init__(
        self,
        model: Detector,
        params: UtteranceTraining,
        scoring: Score,
        read: Reader,
        train: pd.DataFrame,
        dev: pd.DataFrame,
        seed: int,
    ) -> None:
        """`train` and `dev` are manifest rows; `params.select` says which figure of dev selects."""
        self.model = model
        self._params, self._scoring, self._read, self._seed = params, scoring, read, seed
        self._refs, self._samples = manifest.refs(train), train["samples"].tolist()
        self._labels = np.where(train["label"] == "bonafide", BONAFIDE, SPOOF)
        self._dev = dev
        given = params.class_weights
        weights = class_weights(self._labels) if given == "auto" else given
        self._weights = torch.tensor(weights)
        n_draws = params.train.steps * params.train.batch
        self._order = draws(len(train), n_draws, seed)

    @property
    def _longest(self) -> int:
        """Most samples of a crop."""
        return int(self._params.crop_seconds * SAMPLE_RATE)

    def samples(self, draw: int) -> int:
        """See `mixframe.training.loop.Task`."""
        if self._params.short == "tile":
            return self._longest
        return min(self._samples[self._order[draw]], self._longest)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return crops of the utterances of some draws with their classes."""
        waves, classes = self._crops(numbers)
        padded, lengths = pad(waves, self.model.backbone)
        return Batch(padded, lengths, classes)

    def _crops(self, numbers: Sequence[int]) -> tuple[list[Waveform], Tensor]:
        """Return the crops of some draws, (n_i,) each, and their (B,) classes."""
        waves, items = [], []
        for draw in numbers:
            item = int(self._order[draw])
            start, length = crop(self._samples[item], self._longest, self._seed, draw)
            if self._params.crop == "first":
                start = 0
            wave = self._read(self._refs[item], start, length)
            if self._params.short == "tile":
                wave = np.resize(wave, self._longest)
            rng = np.random.default_rng([self._seed, 3, draw])
            waves.append(self._params.augment.apply(wave, rng))
            items.append(item)
        return waves, torch.from_numpy(self._labels[items])

    def weight(self, batch: Batch) -> float:
        """Return the summed class weights."""
        return float(self._weights[batch.targets].sum())

    def loss(self, part: Batch) -> Tensor:
        """Return the summed weighted cross-entropy of every classifier of the head."""
        weights = self._weights.to(part.waves.device, non_blocking=True)
        losses = [
            share * nn.functional.cross_entropy(x.float(), part.targets, weights, reduction="sum")
            for share, x in self.model.training_logits(part.waves, part.lengths)
        ]
        return torch.stack(losses).sum()

    def dev_scores(self, run: Runner) -> np.ndarray:
        """Return the (n,) float64 scores of the dev utterances."""
        refs, samples = manifest.refs(self._dev), self._dev["samples"].tolist()
        heard = window(self._params, self._scoring)
        return score(self.model, refs, samples, heard, run, self._read)

    def validate(self, run: Runner) -> Validation:
        """Rank by the dev EER, or by the dev loss; Cllr settles ties, which small dev sets have."""
        scores = self.dev_scores(run)
        bonafide = (self._dev["label"] == "bonafide").to_numpy()
        eer = detection.eer(scores[bonafide], scores[~bonafide])
        cllr = detection.cllr(scores[bonafide], scores[~bonafide])
        loss = dev_loss(scores, bonafide, self._weights.numpy())
        rank = (eer, cllr) if self._params.select == "eer" else (loss, cllr)
        return Validation(rank, {"dev_eer": eer, "dev_cllr": cllr, "dev_loss": loss})
