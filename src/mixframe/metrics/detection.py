"""Error rates and detection costs of a countermeasure, from the scores of its trials.

Every function takes the scores of the bona fide and of the spoof trials as two one-dimensional
arrays and computes in float64. A higher score means more bona fide. A trial is accepted as bona
fide when its score is above the threshold. Rates are fractions in [0, 1], never percentages.

A score that is NaN or infinite, or a class without a trial, is a `MixframeError`, never a number.

Sources: the ASVspoof 5 evaluation plan and package (EER, minDCF, actDCF, Cllr); Kinnunen et al.,
"Tandem Assessment of Spoofing Countermeasures and Automatic Speaker Verification", 2020, and the
ASVspoof 2021 package (t-DCF); Brummer and de Villiers, "The BOSARIS Toolkit", 2013 (ROC convex
hull).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DcfCosts:
    """Prior and costs of the normalised detection cost function.

    Attributes:
        p_spoof: prior probability that a trial is spoofed, in (0, 1).
        c_miss: cost of rejecting a bona fide trial, above 0.
        c_fa: cost of accepting a spoofed trial, above 0.
    """

    p_spoof: float
    c_miss: float
    c_fa: float

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.p_spoof >= 1:
            raise MixframeError(f"DcfCosts: p_spoof is {self.p_spoof}, expected below 1")

    @property
    def miss_weight(self) -> float:
        """Weight of the miss rate, C_miss (1 - P_spoof)."""
        return self.c_miss * (1 - self.p_spoof)

    @property
    def fa_weight(self) -> float:
        """Weight of the false alarm rate, C_fa P_spoof."""
        return self.c_fa * self.p_spoof

    @property
    def default(self) -> float:
        """Cost of the better of "accept all" and "reject all", by which costs are divided."""
        return min(self.miss_weight, self.fa_weight)


@dataclass(frozen=True)
class TdcfCosts:
    """Priors and costs of the t-DCF; the three priors sum to 1.

    Attributes:
        p_spoof, p_tar, p_non: priors of spoof, target and non-target trials.
        c_miss, c_fa: costs of the ASV system rejecting a target, accepting a non-target.
        c_fa_spoof: cost of the tandem accepting a spoofed trial.
    """

    p_spoof: float
    p_tar: float
    p_non: float
    c_miss: float
    c_fa: float
    c_fa_spoof: float

    def __post_init__(self) -> None:
        _check_positive(self)
        total = self.p_spoof + self.p_tar + self.p_non
        if abs(total - 1) > 1e-10:
            raise MixframeError(
                f"TdcfCosts: p_spoof + p_tar + p_non is {total}, expected 1 (to within 1e-10)"
            )


class Det(NamedTuple):
    """Points of the detection error trade-off, one before all scores and one a distinct score.

    Attributes:
        thresholds: (k + 1,) ascending; the first is the largest float64 below every score.
        p_miss: (k + 1,) share of the bona fide scores at or below the threshold.
        p_fa: (k + 1,) share of the spoof scores above the threshold.
    """

    thresholds: FloatArray
    p_miss: FloatArray
    p_fa: FloatArray


class PointMetrics(TypedDict):
    """Point metrics of one set of trials.

    Rates are fractions, `cllr` is in bits, `eer_threshold` in the unit of the scores; the costs
    are normalised, so 1 is the cost of a system that ignores the audio.
    """

    eer: float
    eer_threshold: float
    eer_rocch: float
    min_dcf: float
    act_dcf: float
    cllr: float
    n_bonafide: int
    n_spoof: int


class SegmentMetrics(TypedDict):
    """Result of `segment_f1`; see there for the definition of each key."""

    frame_precision: float
    frame_recall: float
    frame_f1: float
    segment_precision: float
    segment_recall: float
    segment_f1: float
    n_frames: int
    n_reference_segments: int
    n_predicted_segments: int


def _check_positive(costs: DcfCosts | TdcfCosts) -> None:
    for field in fields(costs):
        value = getattr(costs, field.name)
        if not (np.isfinite(value) and value > 0):
            raise MixframeError(
                f"{type(costs).__name__}: {field.name} is {value}, expected a number above 0"
            )


def checked_scores(scores: ArrayLike, name: str) -> FloatArray:
    """Return scores as a float64 vector, or refuse them by name.

    Args:
        scores: (n,) scores of one class, any real dtype.
        name: what the scores are, for the message ("bonafide", "spoof").

    Raises:
        MixframeError: no scores, not one-dimensional, or NaN or infinite ones (how many, and the
            row of the first, from 0).
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise MixframeError(f"{name} scores: shape {values.shape}, expected one dimension")
    if values.size == 0:
        raise MixframeError(f"{name} scores: 0 trials, expected at least one of each class")
    bad = ~np.isfinite(values)
    if bad.any():
        n_nan = int(np.isnan(values).sum())
        raise MixframeError(
            f"{name} scores: {n_nan} NaN and {int(bad.sum()) - n_nan} infinite among "
            f"{values.size}, the first at row {int(bad.argmax())}; every score must be finite"
        )
    return values


def det_points(bonafide: ArrayLike, spoof: ArrayLike) -> Det:
    """Return the points of the DET curve, one a group of equal scores.

    The official packages put a point after every single score, in an order of tied scores that
    follows the order of the input. Here equal scores move together, as they do for any real
    threshold, so the points do not depend on the order of the rows. Without ties the points are
    the official ones.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.

    Returns:
        `Det` with k + 1 points for k distinct scores; the first is (0 miss, 1 false alarm), the
        last (1, 0).

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    return _det_points(checked_scores(bonafide, "bonafide"), checked_scores(spoof, "spoof"))


def _det_points(bonafide: FloatArray, spoof: FloatArray) -> Det:
    sorted_bonafide, sorted_spoof = np.sort(bonafide), np.sort(spoof)
    distinct = np.unique(np.concatenate((sorted_bonafide, sorted_spoof)))
    thresholds = np.concatenate(([np.nextafter(distinct[0], -np.inf)], distinct))
    n_miss = np.searchsorted(sorted_bonafide, thresholds, side="right")
    n_rejected = np.searchsorted(sorted_spoof, thresholds, side="right")
    return Det(thresholds, n_miss / bonafide.size, (spoof.size - n_rejected) / spoof.size)


def eer_index(p_miss: FloatArray, p_fa: FloatArray) -> int:
    """Return the index of the point that minimises |P_miss - P_fa|, the first of several.

    The difference is taken in float64 like in the official packages, so that the same point is
    chosen where two are equally near; the first is the one of the lowest threshold.
    """
    return int(np.argmin(np.abs(p_miss - p_fa)))


def eer_of_points(p_miss: FloatArray, p_fa: FloatArray) -> float:
    """Return the mean of P_miss and P_fa at `eer_index`."""
    index = eer_index(p_miss, p_fa)
    return float((p_miss[index] + p_fa[index]) / 2)


def min_dcf_of_points(p_miss: FloatArray, p_fa: FloatArray, costs: DcfCosts) -> float:
    """Return the smallest normalised detection cost of the points."""
    return float((costs.miss_weight * p_miss + costs.fa_weight * p_fa).min() / costs.default)


def eer(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the equal error rate by the official definition, on groups of equal scores.

    It is the mean of P_miss and P_fa at the DET point that minimises |P_miss - P_fa|; of several
    such points the one of the lowest threshold counts. All scores distinct, this is the value of
    the official packages; constant scores give 0.5.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    det = det_points(bonafide, spoof)
    return eer_of_points(det.p_miss, det.p_fa)


def eer_threshold(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the threshold of the point at which `eer` is read (accept above it).

    It is one of the scores, or the largest float64 below all of them.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    det = det_points(bonafide, spoof)
    return float(det.thresholds[eer_index(det.p_miss, det.p_fa)])


def eer_official_sort(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the EER with tied scores in the official order: bona fide before spoof.

    For comparison with published tables only. It differs from `eer` where scores are tied, and
    gives 1.0 for constant scores.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    positive = checked_scores(bonafide, "bonafide")
    negative = checked_scores(spoof, "spoof")
    order = np.argsort(np.concatenate((positive, negative)), kind="stable")
    is_bonafide = order < positive.size
    n_miss = np.concatenate(([0], np.cumsum(is_bonafide)))
    n_rejected = np.concatenate(([0], np.cumsum(~is_bonafide)))
    return eer_of_points(n_miss / positive.size, (negative.size - n_rejected) / negative.size)


def eer_rocch(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the EER of the ROC convex hull: where the hull crosses P_miss = P_fa.

    The hull interpolates between operating points, so this value moves smoothly where `eer` moves
    in steps of one trial, and never exceeds 0.5. Its corners are the blocks of the isotonic
    regression of the labels on the scores (pool adjacent violators; BOSARIS Toolkit, 2013).

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    return _rocch_of_points(det_points(bonafide, spoof))


def _rocch_of_points(det: Det) -> float:
    # scipy.optimize takes a fifth of a second to import, and only this function needs it.
    from scipy.optimize import isotonic_regression

    # The hull is the same for any positive weight of the two classes, so their rates serve.
    mass_bonafide, mass_spoof = np.diff(det.p_miss), -np.diff(det.p_fa)
    mass = mass_bonafide + mass_spoof
    corners = isotonic_regression(mass_bonafide / mass, weights=mass).blocks
    p_miss, p_fa = det.p_miss[corners], det.p_fa[corners]
    after = int(np.argmax(p_miss >= p_fa))
    gap_before = p_fa[after - 1] - p_miss[after - 1]
    gap_after = p_miss[after] - p_fa[after]
    share = gap_before / (gap_before + gap_after)
    return float(p_miss[after - 1] + share * (p_miss[after] - p_miss[after - 1]))


def min_dcf(bonafide: ArrayLike, spoof: ArrayLike, costs: DcfCosts) -> float:
    """Return the minimum normalised detection cost over all thresholds (ASVspoof 5, primary).

    min over the DET points of C_miss (1 - P_spoof) P_miss + C_fa P_spoof P_fa, divided by the
    smaller of the two weights; at most 1.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.
        costs: prior and costs.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    det = det_points(bonafide, spoof)
    return min_dcf_of_points(det.p_miss, det.p_fa, costs)


def act_dcf(bonafide: ArrayLike, spoof: ArrayLike, costs: DcfCosts) -> float:
    """Return the normalised detection cost at the Bayes threshold, scores read as natural LLRs.

    The threshold is -log(beta), beta = C_miss (1 - P_spoof) / (C_fa P_spoof). Like in the
    official package a score equal to it is accepted: a bona fide score below it is a miss, a
    spoof score at or above it a false alarm.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    positive = checked_scores(bonafide, "bonafide")
    negative = checked_scores(spoof, "spoof")
    threshold = -np.log(costs.miss_weight / costs.fa_weight)
    p_miss = np.mean(positive < threshold)
    p_fa = np.mean(negative >= threshold)
    return float((costs.miss_weight * p_miss + costs.fa_weight * p_fa) / costs.default)


def cllr(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the cost of the log-likelihood ratios in bits (natural LLRs in, 1 for all zeros).

    (mean log2(1 + e^-s) over bona fide + mean log2(1 + e^s) over spoof) / 2, by `logaddexp`,
    which does not overflow for large scores as the official exponential does.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    positive = checked_scores(bonafide, "bonafide")
    negative = checked_scores(spoof, "spoof")
    nats = np.logaddexp(0, -positive).mean() + np.logaddexp(0, negative).mean()
    return float(nats / (2 * np.log(2)))


def min_tdcf(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    asv_target: ArrayLike,
    asv_nontarget: ArrayLike,
    asv_spoof: ArrayLike,
    costs: TdcfCosts,
) -> float:
    """Return the minimum normalised t-DCF, legacy revised form (ASVspoof 2019 and 2021 LA).

    min over the DET points of C0 + C1 P_miss + C2 P_fa, divided by C0 + min(C1, C2), where
    C0 = P_tar C_miss P_miss_asv + P_non C_fa P_fa_asv, C1 = P_tar C_miss - C0 and
    C2 = P_spoof C_fa_spoof P_fa_spoof_asv. The ASV system works at the threshold of the EER of
    its targets against its non-targets; like in the official package it accepts a score equal to
    the threshold.

    Args:
        bonafide: (n,) countermeasure scores of the bona fide trials.
        spoof: (m,) countermeasure scores of the spoof trials.
        asv_target: (a,) ASV scores of the target trials.
        asv_nontarget: (b,) ASV scores of the non-target trials.
        asv_spoof: (c,) ASV scores of the spoof trials.
        costs: priors and costs.

    Raises:
        MixframeError: a set is empty or holds NaN or infinite scores; or the ASV errors alone
            cost more than rejecting every target (C1 < 0), where the t-DCF is not defined.
    """
    det = det_points(bonafide, spoof)
    target = checked_scores(asv_target, "ASV target")
    nontarget = checked_scores(asv_nontarget, "ASV nontarget")
    spoofed = checked_scores(asv_spoof, "ASV spoof")
    threshold = eer_threshold(target, nontarget)
    c0 = float(
        costs.p_tar * costs.c_miss * np.mean(target < threshold)
        + costs.p_non * costs.c_fa * np.mean(nontarget >= threshold)
    )
    c1 = costs.p_tar * costs.c_miss - c0
    c2 = float(costs.p_spoof * costs.c_fa_spoof * np.mean(spoofed >= threshold))
    if c1 < 0:
        raise MixframeError(
            f"min t-DCF: the ASV scores give C1 = {c1:.6g}, expected 0 or more; the ASV system is "
            "worse than rejecting every target: check the sign and the keys of the ASV scores"
        )
    # C0 is above 0: the EER threshold is a score at which the ASV system makes some error.
    default = c0 + min(c1, c2)
    return float((c0 + c1 * det.p_miss + c2 * det.p_fa).min() / default)


def point_metrics(bonafide: ArrayLike, spoof: ArrayLike, costs: DcfCosts) -> PointMetrics:
    """Return all point metrics that need no other system's scores; the scores are sorted once.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.
        costs: prior and costs of `min_dcf` and `act_dcf`.

    Raises:
        MixframeError: a class is empty, or a score is NaN or infinite.
    """
    positive = checked_scores(bonafide, "bonafide")
    negative = checked_scores(spoof, "spoof")
    det = _det_points(positive, negative)
    return PointMetrics(
        eer=eer_of_points(det.p_miss, det.p_fa),
        eer_threshold=float(det.thresholds[eer_index(det.p_miss, det.p_fa)]),
        eer_rocch=_rocch_of_points(det),
        min_dcf=min_dcf_of_points(det.p_miss, det.p_fa, costs),
        act_dcf=act_dcf(positive, negative, costs),
        cllr=cllr(positive, negative),
        n_bonafide=positive.size,
        n_spoof=negative.size,
    )


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
) -> SegmentMetrics:
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
    return SegmentMetrics(
        frame_precision=frames_true / frames_predicted if frames_predicted else 0.0,
        frame_recall=frames_true / frames_reference,
        frame_f1=2 * frames_true / (frames_predicted + frames_reference),
        segment_precision=pairs / n_predicted if n_predicted else 0.0,
        segment_recall=pairs / n_reference,
        segment_f1=2 * pairs / (n_predicted + n_reference),
        n_frames=n_frames,
        n_reference_segments=n_reference,
        n_predicted_segments=n_predicted,
    )


def _mask(values: ArrayLike, name: str, index: int) -> BoolArray:
    mask = np.asarray(values)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise MixframeError(
            f"segment F1: {name} of utterance {index} are {mask.dtype} of shape {mask.shape}, "
            "expected a boolean vector (threshold the scores first)"
        )
    return mask
