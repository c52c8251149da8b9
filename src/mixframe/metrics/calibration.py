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
    # In standard units the two parameters are of one size, whatever the unit of the scores.
    design = np.column_stack(((pooled - centre) / scale, np.ones(pooled.size)))
    sign = np.repeat([1.0, -1.0], [positive.size, negative.size])
    weight = np.repeat([0.5 / positive.size, 0.5 / negative.size], [positive.size, negative.size])

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (design @ parameters)
        gradient = -design.T @ (weight * sign * expit(-margin))
        return float(weight @ np.logaddexp(0, -margin)), gradient

    def curvature(parameters: FloatArray) -> FloatArray:
        share = expit(design @ parameters)
        return np.asarray((design * (weight * share * (1 - share))[:, None]).T @ design)

    fitted = minimize(
        loss, np.zeros(2), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10}
    )
    if float(np.abs(fitted.jac).max()) > 1e-6:
        raise MixframeError(
            f"calibration: no convergence on {positive.size} bona fide and {negative.size} spoof "
            f"scores ({fitted.message})"
        )
    slope = float(fitted.x[0]) / scale
    return Affine(slope, float(fitted.x[1]) - slope * centre)
