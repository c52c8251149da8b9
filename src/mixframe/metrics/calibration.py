"""Affine calibration: scores of a countermeasure as log-likelihood ratios.

`llr = slope * score + offset`, fitted by logistic regression on the scores of a development set,
each class with half of the weight (the prior-weighted logistic regression of Brummer and de
Villiers, "The BOSARIS Toolkit", 2013, at a prior of 0.5, where its objective is Cllr). The order of
the trials does not change, so EER and minDCF stay; actDCF and Cllr get the values of scores that
can be read as probabilities.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import FloatArray, checked_scores


@dataclass(frozen=True)
class Affine:
    """A calibration: natural log-likelihood ratio of bona fide = slope * score + offset."""

    slope: float
    offset: float

    def __call__(self, scores: ArrayLike) -> FloatArray:
        """Return the log-likelihood ratios of scores, (n,) float64."""
        return self.slope * np.asarray(scores, dtype=np.float64) + self.offset


def fit(bonafide: ArrayLike, spoof: ArrayLike) -> Affine | None:
    """Fit a calibration to the scores of a development set.

    Args:
        bonafide: (n,) scores of the bona fide trials.
        spoof: (m,) scores of the spoof trials.

    Returns:
        the calibration of the lowest Cllr; None where a threshold separates the classes without
        an error, because then no finite slope is the best one.

    Raises:
        MixframeError: a class is empty, a score is NaN or infinite, or the fit does not converge.
    """
    positive = checked_scores(bonafide, "bonafide")
    negative = checked_scores(spoof, "spoof")
    pooled = np.concatenate((positive, negative))
    centre, scale = float(pooled.mean()), float(pooled.std())
    if scale == 0:
        return Affine(0.0, 0.0)
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return None
    sizes = (positive.size, negative.size)
    weights, constant = least_cllr(((pooled - centre) / scale)[:, None], sizes, 0.0, "calibration")
    slope = float(weights[0]) / scale
    return Affine(slope, constant - slope * centre)


def least_cllr(
    scores: FloatArray, sizes: tuple[int, int], ridge: float, what: str
) -> tuple[FloatArray, float]:
    """Return the weighted sum of scores whose Cllr as a log-likelihood ratio is lowest.

    Args:
        scores: (n, systems), first those of bona fide trials. In standard units all parameters are
            of one size, whatever the unit of the scores.
        sizes: bona fide and spoof trials.
        ridge: penalty on half of the squared weights.
        what: title of the message.

    Returns:
        (systems,) weights, and the constant that is added.

    Raises:
        MixframeError: the fit does not converge.
    """
    design = np.column_stack((scores, np.ones(len(scores))))
    sign = np.repeat([1.0, -1.0], sizes)
    weight = np.repeat([0.5 / n for n in sizes], sizes)
    penalty = np.append(np.full(scores.shape[1], ridge), 0.0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (design @ parameters)
        gradient = -design.T @ (weight * sign * expit(-margin)) + penalty * parameters
        value = weight @ np.logaddexp(0, -margin) + penalty @ parameters**2 / 2
        return float(value), gradient

    def curvature(parameters: FloatArray) -> FloatArray:
        share = expit(design @ parameters)
        spread = weight * share * (1 - share)
        return np.asarray((design * spread[:, None]).T @ design + np.diag(penalty))

    fitted = minimize(
        loss,
        np.zeros(design.shape[1]),
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    if float(np.abs(fitted.jac).max()) > 1e-6:
        raise MixframeError(
            f"{what}: no convergence on {sizes[0]} bona fide and {sizes[1]} spoof scores "
            f"({fitted.message})"
        )
    return fitted.x[:-1], float(fitted.x[-1])
