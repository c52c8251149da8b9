"""Countermeasure scores of whole utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from mixframe.audio.io import SAMPLE_RATE, AudioRef, Reader
from mixframe.base.progress import progress
from mixframe.models.backbone import Backbone
from mixframe.training.data import CHUNK, Batch, length_batches, pad
from mixframe.training.params import Precision, Score, UtteranceTraining
from mixframe.training.runner import Runner


class Scorer(Protocol):
    """What gives utterances scores."""

    @property
    def backbone(self) -> Backbone:
        """Its encoder."""

    def score(self, waves: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map (B, N) padded waveforms and (B,) lengths in samples to (B,) scores."""


@dataclass(frozen=True)
class Window:
    """What a system hears of an utterance.

    Attributes:
        batch: most utterances scored at once, of similar length.
        samples: longer utterances are cut to their first part.
        tile: whether shorter ones are repeated up to that.
        together: most samples scored at once, with padding.
        precision: what the encoder multiplies in; see `mixframe.training.params.Score`.
    """

    batch: int
    samples: int
    tile: bool
    together: float = math.inf
    precision: Precision = "fp32"


def window(params: UtteranceTraining, scoring: Score) -> Window:
    """Return the window of a system: whole utterances, or all of one length."""
    tile = params.short == "tile"
    seconds = params.crop_seconds if tile else scoring.max_seconds
    together = scoring.batch_seconds * SAMPLE_RATE or math.inf
    longest = int(seconds * SAMPLE_RATE)
    return Window(scoring.batch, longest, tile, together, scoring.precision)


def score(
    detector: Scorer,
    refs: Sequence[AudioRef],
    samples: Sequence[int],
    heard: Window,
    run: Runner,
    read: Reader,
    what: str = "",
) -> np.ndarray:
    """Score utterances.

    Args:
        refs, samples: where each utterance is, and its length at 16 kHz.
        what: title of the progress shown; none is shown without it.

    Returns:
        (len(refs),) float64 in the order of `refs`; higher = more bona fide.
    """
    lengths = [min(n, heard.samples) for n in samples]
    padded = [heard.samples if heard.tile else n for n in lengths]
    equal = not detector.backbone.masks_padding
    groups = length_batches(padded, heard.batch, equal, heard.together)
    # Several processes take turns: shares of similar length, and batches as one process has them.
    groups = groups[run.world.index :: run.world.count]
    # The longest of a chunk come first, so that threads which share it end together.
    chunks = [groups[i : i + CHUNK][::-1] for i in range(0, len(groups), CHUNK)]
    scores = np.zeros(len(refs))
    for chunk in progress(chunks, len(chunks), what, "chunks") if what else chunks:
        batches = []
        for rows in chunk:
            read_in = [read(refs[i], 0, lengths[i]) for i in rows]
            whole = [np.resize(w, heard.samples) for w in read_in] if heard.tile else read_in
            waves, sizes = pad(whole, detector.backbone)
            batches.append(Batch(waves, sizes, torch.zeros(len(rows))))
        results = run.infer(lambda b: detector.score(b.waves, b.lengths), batches, heard.precision)
        for rows, values in zip(chunk, results, strict=True):
            scores[rows] = values.double().numpy()
    return run.world.add(scores, run.device)
