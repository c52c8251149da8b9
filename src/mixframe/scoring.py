"""Countermeasure scores of whole utterances."""

from collections.abc import Sequence

import numpy as np
import torch

from mixframe.audio import SAMPLE_RATE, AudioRef
from mixframe.models.detector import Detector
from mixframe.params import Score
from mixframe.progress import progress
from mixframe.splicing import Reader
from mixframe.training.data import CHUNK, Batch, length_batches, pad
from mixframe.training.loop import Runner


def score(
    detector: Detector,
    refs: Sequence[AudioRef],
    samples: Sequence[int],
    params: Score,
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
    longest = int(params.max_seconds * SAMPLE_RATE)
    lengths = [min(n, longest) for n in samples]
    groups = length_batches(lengths, params.batch, not detector.backbone.masks_padding)
    # Several processes take turns: shares of similar length, and batches as one process has them.
    groups = groups[run.world.index :: run.world.count]
    chunks = [groups[i : i + CHUNK] for i in range(0, len(groups), CHUNK)]
    scores = np.zeros(len(refs))
    for chunk in progress(chunks, len(chunks), what, "chunks") if what else chunks:
        batches = []
        for rows in chunk:
            waves, sizes = pad([read(refs[i], 0, lengths[i]) for i in rows], detector.backbone)
            batches.append(Batch(waves, sizes, torch.zeros(len(rows))))
        results = run.infer(lambda b: detector.score(b.waves, b.lengths), batches)
        for rows, values in zip(chunk, results, strict=True):
            scores[rows] = values.double().numpy()
    return run.world.add(scores, run.device)
