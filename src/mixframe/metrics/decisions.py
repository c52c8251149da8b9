"""Which frames of a recording count as spliced in: a prior, a running median, a shortest run.

Held-out splices hold far more spliced speech than recordings do, so the threshold at their EER
calls much of a recording spliced in. Here a prior says how much of it is expected, and the rest is
chosen on the same splices, weighted until that share of their frames is injected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

from mixframe.metrics import calibration
from mixframe.metrics.calibration import Affine
from mixframe.metrics.detection import FloatArray, IntArray
from mixframe.metrics.segments import matched_segments, segments

PRIOR = 0.05
"""Share of spliced frames that is expected: a few seconds a minute."""

WIDTHS = (1, 5, 9, 13, 17)
"""Frames of a running median; 1 leaves scores as they are."""
SHORTEST = (1, 5, 8, 12)
"""Frames of the shortest run that counts."""


def smoothed(values: ArrayLike, width: int) -> FloatArray:
    """Return the running median of (n,) values over `width` of them.

    Before the first and after the last one their values go on.
    """
    return np.asarray(median_filter(np.asarray(values, np.float64), width, mode="nearest"))


@dataclass(frozen=True)
class Decision:
    """How frames are judged.

    Attributes:
        smooth: frames of the running median; one of `WIDTHS`.
        shortest: frames of the shortest run that counts; one of `SHORTEST`.
        calibration: of smoothed logits, to the natural log-likelihood ratio of injected to not;
            None where a threshold tells them apart without an error.
    """

    smooth: int
    shortest: int
    calibration: Affine | None


def cut(prior: float) -> float:
    """Return the log-likelihood ratio from which injected is the likelier class."""
    return math.log((1 - prior) / prior)


def fit(
    labels: Sequence[NDArray[np.bool_]],
    logits: Sequence[ArrayLike],
    threshold: float,
    prior: float,
    min_iou: float,
) -> Decision:
    """Choose median and shortest run by the F1 of segments on held-out splices.

    Utterances without a splice count as often as makes `prior` the share of injected frames.

    Args:
        labels: (T,) of each utterance, true where a frame was injected.
        logits: (T,) of each utterance, higher = more likely injected.
        threshold: logit that counts where there is no calibration.
        prior: in (0, 1).
        min_iou: overlap from which a run counts as found, as in `segments.segment_f1`.

    Returns:
        the best one; of equally good ones that of the shortest median and the shortest run.
    """
    truth = [segments(one) for one in labels]
    weight = _weight_of_clean(labels, prior)
    pooled = np.concatenate(labels)

    def f1(runs: Sequence[IntArray], shortest: int) -> float:
        pairs = total = 0.0
        for reference, predicted in zip(truth, runs, strict=True):
            long = predicted[predicted[:, 1] - predicted[:, 0] >= shortest]
            pairs += matched_segments(reference, long, min_iou)
            total += len(reference) + len(long) * (1.0 if len(reference) else weight)
        return 2 * pairs / total if total else 0.0

    rated: list[tuple[float, Decision]] = []
    for width in WIDTHS:
        heard = [smoothed(one, width) for one in logits]
        values = np.concatenate(heard)
        fitted = calibration.fit(values[pooled], values[~pooled])
        if fitted is None:
            runs = [segments(one >= threshold) for one in heard]
        else:
            runs = [segments(fitted(one) >= cut(prior)) for one in heard]
        rated += [(f1(runs, k), Decision(width, k, fitted)) for k in SHORTEST]
    return max(rated, key=lambda pair: pair[0])[1]


def _weight_of_clean(labels: Sequence[NDArray[np.bool_]], prior: float) -> float:
    """Return how often utterances without a splice count for the prior to be as given."""
    spliced = sum(len(one) for one in labels if one.any())
    clean = sum(len(one) for one in labels if not one.any())
    injected = sum(int(one.sum()) for one in labels)
    return max(0.0, injected / prior - spliced) / clean if clean else 1.0
