"""Precision, recall and F1 of the spoofed parts of utterances, by frames and by segments."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import IntArray


def segments(mask: ArrayLike) -> IntArray:
    """Return the maximal runs of true frames, (k, 2) half-open [first, last + 1) frame indices.

    Args:
        mask: (frames,) bool.
    """
    flags = np.asarray(mask, dtype=bool).astype(np.int8)
    edges = np.flatnonzero(np.diff(flags, prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)


def matched_segments(reference: IntArray, predicted: IntArray, min_iou: float) -> int:
    """Return the largest number of one-to-one pairs with an IoU of at least `min_iou`.

    IoU is the number of shared frames over the number of frames of the union. The segments of one
    side do not overlap, so in every chain of overlapping segments the leftmost pair has a member
    that overlaps nothing further right; taking pairs from the left is therefore optimal.

    Args:
        reference, predicted: (k, 2) half-open segments in ascending order, as of `segments`.
        min_iou: in (0, 1].
    """
    n_matched = i = j = 0
    while i < len(reference) and j < len(predicted):
        (start, end), (first, last) = reference[i], predicted[j]
        shared = min(end, last) - max(start, first)
        union = (end - start) + (last - first) - shared
        if shared > 0 and shared / union >= min_iou:
            n_matched, i, j = n_matched + 1, i + 1, j + 1
        elif end <= last:
            i += 1
        else:
            j += 1
    return n_matched


def segment_f1(
    labels: Sequence[ArrayLike], decisions: Sequence[ArrayLike], min_iou: float
) -> dict[str, float]:
    """Return precision, recall and F1 of the spoofed parts, by frames and by segments.

    Counts are summed over the utterances before any division. By frames, a true positive is a
    frame that is spoof in both. By segments, a segment is a maximal run of spoof frames in one
    utterance, and the true positives are the pairs of `matched_segments`: a predicted segment is
    right when it overlaps a reference segment with an IoU of at least `min_iou`, and no segment
    counts in two pairs. Precision is true positives over predicted, recall over reference, F1 is
    2 TP / (predicted + reference). Nothing predicted is a precision of 0.

    Args:
        labels: one (frames,) bool array an utterance, true where the frame is spoofed.
        decisions: the same shapes, true where the detector says so.
        min_iou: smallest intersection over union of a matched pair, in (0, 1].

    Returns:
        frame_precision, frame_recall, frame_f1, segment_precision, segment_recall, segment_f1, as
        fractions; n_frames, n_reference_segments, n_predicted_segments.

    Raises:
        MixframeError: the lists or two arrays differ in length, an array is not boolean (scores
            given in place of decisions), no reference frame is spoofed, or `min_iou` is out of
            range.
    """
    if not 0 < min_iou <= 1:
        raise MixframeError(f"segment F1: min_iou is {min_iou}, expected in (0, 1]")
    if len(labels) != len(decisions):
        raise MixframeError(
            f"segment F1: labels of {len(labels)} utterances, decisions of {len(decisions)}"
        )
    n_frames = frames_true = frames_reference = frames_predicted = 0
    pairs = n_reference = n_predicted = 0
    for index, (label, decision) in enumerate(zip(labels, decisions, strict=True)):
        truth, guess = _mask(label, "labels", index), _mask(decision, "decisions", index)
        if truth.size != guess.size:
            raise MixframeError(
                f"segment F1: utterance {index} has {truth.size} labels and {guess.size} decisions"
            )
        reference, predicted = segments(truth), segments(guess)
        n_frames += truth.size
        frames_true += int((truth & guess).sum())
        frames_reference += int(truth.sum())
        frames_predicted += int(guess.sum())
        pairs += matched_segments(reference, predicted, min_iou)
        n_reference += len(reference)
        n_predicted += len(predicted)
    if n_reference == 0:
        raise MixframeError(
            f"segment F1: 0 spoof frames among {n_frames} labels of {len(labels)} utterances; "
            "recall needs at least one"
        )
    return {
        **_rates("frame", frames_true, frames_reference, frames_predicted),
        **_rates("segment", pairs, n_reference, n_predicted),
        "n_frames": n_frames,
        "n_reference_segments": n_reference,
        "n_predicted_segments": n_predicted,
    }


def _rates(name: str, n_true: int, n_reference: int, n_predicted: int) -> dict[str, float]:
    return {
        f"{name}_precision": n_true / n_predicted if n_predicted else 0.0,
        f"{name}_recall": n_true / n_reference,
        f"{name}_f1": 2 * n_true / (n_predicted + n_reference),
    }


def _mask(values: ArrayLike, name: str, index: int) -> NDArray[np.bool_]:
    mask = np.asarray(values)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise MixframeError(
            f"segment F1: {name} of utterance {index} are {mask.dtype} of shape {mask.shape}, "
            "expected a boolean vector (threshold the scores first)"
        )
    return mask
