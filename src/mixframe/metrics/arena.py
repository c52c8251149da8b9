"""The metrics of the Speech Anti-Spoofing Arena, by its own definitions.

Its EER is neither `detection.eer` nor `detection.eer_rocch`: both rates are interpolated where
their difference changes its sign. On small sets the three differ by points
(github.com/lab260ru/speech_spoof_bench, metrics/eer.py and metrics/srr_complement.py, Apache-2.0).
A submission is accepted if its figures agree with these to 1e-6 percentage points.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import checked_scores


class ArenaEer(NamedTuple):
    """An equal error rate in percent, and the threshold at which it is read."""

    percent: float
    threshold: float


def eer(bonafide: ArrayLike, spoof: ArrayLike) -> ArenaEer:
    """Return the equal error rate as the Arena computes it.

    At each distinct score t the false acceptances are the spoofs at or above t, the false
    rejections the bona fide trials below t. Where the sign of their difference first changes, both
    rates and the threshold are interpolated linearly; 0 is a sign of its own. Without a change, the
    score of the smallest difference counts.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    positive = np.sort(checked_scores(bonafide, "bonafide"))
    negative = np.sort(checked_scores(spoof, "spoof"))
    thresholds = np.unique(np.concatenate((positive, negative)))
    p_miss = np.searchsorted(positive, thresholds) / positive.size
    p_fa = 1 - np.searchsorted(negative, thresholds) / negative.size
    gap = p_fa - p_miss
    turns = np.flatnonzero(np.diff(np.sign(gap)))
    if not turns.size:
        i = int(np.argmin(np.abs(gap)))
        return ArenaEer(float(50 * (p_fa[i] + p_miss[i])), float(thresholds[i]))
    i = int(turns[0])
    share = gap[i] / (gap[i] - gap[i + 1])
    rates, threshold = (
        values[i] + share * (values[i + 1] - values[i]) for values in (p_fa + p_miss, thresholds)
    )
    return ArenaEer(float(50 * rates), float(threshold))


def srr_complement(spoof: ArrayLike, threshold: float) -> float:
    """Return the share of spoofs that pass, in percent, for sets without bona fide speech.

    Args:
        spoof: (m,) scores.
        threshold: of the same system's `eer` on another set; a score equal to it passes.

    Raises:
        MixframeError: no scores, or a score or the threshold is NaN or infinite.
    """
    if not np.isfinite(threshold):
        raise MixframeError(f"threshold {threshold}, expected a finite number")
    rejected = float(np.mean(checked_scores(spoof, "spoof") < threshold))
    return 100 * (1 - rejected)
