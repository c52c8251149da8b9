"""Heads that judge frames, and a detector that has one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mixframe.models.detector import BONAFIDE, SPOOF, Detector
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.head import Head
from mixframe.models.localiser import top_mean

if TYPE_CHECKING:
    from mixframe.models.frame_params import BothHead, FrameHeadSection, FramesHead

Units = tuple[Tensor, Tensor]
"""Logits of units of frames, (B, U), above 0 = spoof, and (B, U) bool, which of them are valid."""


def grouped(values: Tensor, size: int) -> Tensor:
    """Return (B, U, size, ...) groups of neighbouring frames of (B, T, ...), the last filled up.

    What fills up is zero, or false.
    """
    missing = -values.shape[1] % size
    filler = values.new_zeros((values.shape[0], missing, *values.shape[2:]))
    return torch.cat([values, filler], dim=1).unflatten(1, (-1, size))


def unit_means(frames: Tensor, mask: Tensor, size: int) -> Units:
    """Return the mean of the valid frames of each unit, (B, U, D), and its mask (B, U).

    Args:
        frames: (B, T, D).
        mask: (B, T), true for frames.
        size: frames in a unit; the last one may have fewer.
    """
    if size == 1:
        return frames, mask
    valid = grouped(mask, size)
    summed = grouped(frames.masked_fill(~mask[..., None], 0.0), size).sum(2)
    return summed / valid.sum(2).clamp(min=1)[..., None], valid.any(2)


class FrameHead(Head):
    """A frame classifier for each resolution; what judges an utterance is up to subclasses."""

    def __init__(self, section: "FrameHeadSection", dim: int, n_layers: int) -> None:
        """See `FrameHeadSection`.

        Args:
            dim: width of a frame representation.
            n_layers: blocks of the encoder; its input to the first one is one more layer.
        """
        super().__init__()
        self.weighted = self.all_layers = section.layers == "weighted"
        if self.weighted:
            self.layer_weights = nn.Parameter(torch.zeros(n_layers + 1))
        self.resolutions = section.resolutions
        self.classifiers = nn.ModuleList(
            FrameClassifier(dim, section.classifier_hidden) for _ in section.resolutions
        )

    def units(self, layers: Sequence[Tensor], mask: Tensor) -> list[Units]:
        """Map layers of (B, T, D) and mask (B, T) to the units of each resolution."""
        frames = self._frames(layers)
        judged = []
        for size, classifier in zip(self.resolutions, self.classifiers, strict=True):
            means, valid = unit_means(frames, mask, size)
            judged.append((classifier(means), valid))
        return judged

    def frame_logits(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Return (B, T) logits of frames at the first resolution; above 0 = spoof."""
        logits, _ = self.units(layers, mask)[0]
        return logits.repeat_interleave(self.resolutions[0], dim=1)[:, : mask.shape[1]]

    def _frames(self, layers: Sequence[Tensor]) -> Tensor:
        """Return (B, T, D): the last layer, or all of them weighted as in `models.pooled`."""
        if not self.weighted:
            return layers[-1]
        weights = torch.softmax(self.layer_weights, dim=0)
        scaled = [nn.functional.layer_norm(x, x.shape[-1:]) for x in layers]
        return torch.stack([w * x for w, x in zip(weights, scaled, strict=True)]).sum(0)


class PooledFrames(FrameHead):
    """Judges an utterance by its units of the first resolution."""

    def __init__(self, section: "FramesHead", dim: int, n_layers: int) -> None:
        """See `FrameHead`."""
        super().__init__(section, dim, n_layers)
        self._pooling = section.pooling
        if section.pooling.kind == "attention":
            # As in `models.pooled`, a bias on the last layer would change nothing.
            self.attention = nn.Sequential(
                nn.Linear(dim, section.pooling.hidden),
                nn.Tanh(),
                nn.Linear(section.pooling.hidden, 1, bias=False),
            )

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to (B, 2) logits; that of bona fide is 0."""
        means, valid = unit_means(self._frames(layers), mask, self.resolutions[0])
        spoof = self._pooled(self.classifiers[0](means).float(), means, valid)
        logits = [spoof, spoof]
        logits[BONAFIDE] = torch.zeros_like(spoof)
        return torch.stack(logits, dim=1)

    def _pooled(self, logits: Tensor, means: Tensor, valid: Tensor) -> Tensor:
        """Return (B,) logits of the utterances, from those of units (B, U), their frames, mask."""
        if self._pooling.kind == "attention":
            energies = self.attention(means).float().squeeze(-1)
            weights = torch.softmax(energies.masked_fill(~valid, float("-inf")), dim=1)
            return (weights * logits).sum(1)
        if self._pooling.kind == "topk":
            return top_mean(logits, valid, self._pooling.share)
        return logits.masked_fill(~valid, float("-inf")).amax(1)

    def training_logits(self, layers: Sequence[Tensor], mask: Tensor) -> list[tuple[float, Tensor]]:
        """See `Head`; only attention learns from the label of the utterance."""
        if self._pooling.kind == "attention":
            return [(self._pooling.weight, self(layers, mask))]
        return []


class FramesAndUtterance(FrameHead):
    """Frame classifiers beside a head that judges utterances."""

    def __init__(self, section: "BothHead", dim: int, n_layers: int) -> None:
        """See `FrameHead`."""
        super().__init__(section, dim, n_layers)
        self.utterance = section.utterance.build(dim, n_layers)
        self.all_layers = self.weighted or self.utterance.all_layers
        self._weight = section.utterance_weight

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to the (B, 2) logits of the utterance head."""
        return self.utterance(layers, mask)

    def training_logits(self, layers: Sequence[Tensor], mask: Tensor) -> list[tuple[float, Tensor]]:
        """See `Head`."""
        of_utterance = self.utterance.training_logits(layers, mask)
        return [(self._weight * share, logits) for share, logits in of_utterance]


class FrameDetector(Detector):
    """A detector whose head judges frames too."""

    head: FrameHead

    def training_outputs(
        self, waves: Tensor, lengths: Tensor
    ) -> tuple[list[tuple[float, Tensor]], list[Units]]:
        """Return what training looks at: `Head.training_logits`, and `FrameHead.units`.

        Args:
            waves: (B, N) padded waveforms.
            lengths: (B,) in samples.
        """
        encoded = self._encoded(waves, lengths)
        return self.head.training_logits(*encoded), self.head.units(*encoded)

    def frame_logits(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, N) waveforms and (B,) lengths in samples to (B, T) logits; above 0 = spoof."""
        return self.head.frame_logits(*self._encoded(waves, lengths)).float()

    def judged(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, list[Units]]:
        """Return (B,) scores, (B, T) frame logits and the units of each resolution, encoded once.

        Args:
            waves: (B, N) padded waveforms.
            lengths: (B,) in samples.
        """
        encoded = self._encoded(waves, lengths)
        logits = self.head(*encoded).float()
        scores = logits[:, BONAFIDE] - logits[:, SPOOF]
        return scores, self.head.frame_logits(*encoded).float(), self.head.units(*encoded)
