"""Error rates and detection costs of a countermeasure, from the scores of its trials.

Every function takes the scores of the bona fide (n,) and of the spoof trials (m,) and computes in
float64. A higher score means more bona fide. A trial is accepted as bona fide when its score is
above the threshold. Rates are fractions in [0, 1], never percentages.

A score that is NaN or infinite, or a class without a trial, is a `MixframeError`, never a number.

Sources: the ASVspoof 5 evaluation plan and package (EER, minDCF, actDCF, Cllr); Kinnunen et al.,
"Tandem Assessment of Spoofing Countermeasures and Automatic Speaker Verification", 2020, and the
ASVspoof 2021 package (t-DCF); Brummer and de Villiers, "The BOSARIS Toolkit", 2013 (ROC convex
hull).
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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


class Sample:
    """The scores of both classes, with the DET points that the metrics share.

    Args:
        bonafide, spoof: (n,) and (m,) scores.
        name: whose scores they are, for messages.
    """

    def __init__(self, bonafide: ArrayLike, spoof: ArrayLike, name: str = "") -> None:
        begin = f"{name}, " if name else ""
        self._bonafide = checked_scores(bonafide, f"{begin}bonafide")
        self._spoof = checked_scores(spoof, f"{begin}spoof")

    @property
    def bonafide(self) -> FloatArray:
        """The scores of the bona fide trials, (n,)."""
        return self._bonafide

    @property
    def spoof(self) -> FloatArray:
        """The scores of the spoof trials, (m,)."""
        return self._spoof

    @cached_property
    def det(self) -> Det:
        """Every point of the DET curve."""
        bonafide, spoof = np.sort(self.bonafide), np.sort(self.spoof)
        distinct = np.unique(np.concatenate((bonafide, spoof)))
        thresholds = np.concatenate(([np.nextafter(distinct[0], -np.inf)], distinct))
        n_miss = np.searchsorted(bonafide, thresholds, side="right")
        n_rejected = np.searchsorted(spoof, thresholds, side="right")
        return Det(thresholds, n_miss / bonafide.size, (spoof.size - n_rejected) / spoof.size)

    @property
    def threshold(self) -> float:
        """The threshold at which the EER is read."""
        return float(self.det.thresholds[eer_index(self.det.p_miss, self.det.p_fa)])

    @property
    def eer(self) -> float:
        """The equal error rate, as of the function `eer`."""
        return eer_of_points(self.det.p_miss, self.det.p_fa)

    @property
    def corners(self) -> tuple[FloatArray, FloatArray]:
        """P_miss and P_fa of all points at which a cost that rises with both can be lowest."""
        return self.det.p_miss, self.det.p_fa


def det_points(bonafide: ArrayLike, spoof: ArrayLike) -> Det:
    """Return the points of the DET curve, one a group of equal scores.

    The official packages put a point after every single score, in an order of tied scores that
    follows the order of the input. Here equal scores move together, as they do for any real
    threshold, so the points do not depend on the order of the rows. Without ties the points are
    the official ones.

    Returns:
        `Det` with k + 1 points for k distinct scores; the first is (0 miss, 1 false alarm), the
        last (1, 0).
    """
    return Sample(bonafide, spoof).det


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
    """
    return Sample(bonafide, spoof).eer


def eer_threshold(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the threshold of the point at which `eer` is read (accept above it).

    It is one of the scores, or the largest float64 below all of them.
    """
    return Sample(bonafide, spoof).threshold


def eer_official_sort(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the EER with tied scores in the official order: bona fide before spoof.

    For comparison with published tables only. It differs from `eer` where scores are tied, and
    gives 1.0 for constant scores.
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
    """
    return rocch_of_points(det_points(bonafide, spoof))


def rocch_of_points(det: Det) -> float:
    """Return where the convex hull of the points crosses P_miss = P_fa."""
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
    """
    return min_dcf_of_points(*Sample(bonafide, spoof).corners, costs)


def act_dcf(bonafide: ArrayLike, spoof: ArrayLike, costs: DcfCosts) -> float:
    """Return the normalised detection cost at the Bayes threshold, scores read as natural LLRs.

    The threshold is -log(beta), beta = C_miss (1 - P_spoof) / (C_fa P_spoof). Like in the
    official package a score equal to it is accepted: a bona fide score below it is a miss, a
    spoof score at or above it a false alarm.
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
        bonafide, spoof: (n,) and (m,) scores of the countermeasure.
        asv_target, asv_nontarget, asv_spoof: (a,), (b,) and (c,) scores of the ASV system.

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
