"""Several systems as one: a weighted sum of their scores that is a log-likelihood ratio.

`llr = weights . scores + offset`, fitted by logistic regression on a development set, each class
with half of the weight (Brummer et al., "Fusion of heterogeneous speaker recognition systems in the
STBU submission", 2007). With one system this is `calibration.fit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mixframe.base.errors import MixframeError
from mixframe.metrics import protocols
from mixframe.metrics.calibration import least_cllr
from mixframe.metrics.detection import FloatArray, checked_scores

RIDGE = 1e-8
"""Penalty on the squared weights of scores in standard units.

It tells apart the many equally good weights of systems that say the same, and moves the weights of
others in their eighth digit."""


@dataclass(frozen=True)
class Fusion:
    """A fusion: natural log-likelihood ratio of bona fide = weights . scores + offset.

    Attributes:
        weights: one a system.
    """

    weights: tuple[float, ...]
    offset: float

    def __call__(self, scores: ArrayLike) -> FloatArray:
        """Return the log-likelihood ratios, (n,) float64, of (n, systems) scores."""
        rows = np.asarray(scores, dtype=np.float64)
        llr = np.full(len(rows), self.offset)
        # A matrix product may round a row otherwise at another place.
        for weight, column in zip(self.weights, rows.T, strict=True):
            llr += weight * column
        return llr


def fit(bonafide: ArrayLike, spoof: ArrayLike) -> Fusion:
    """Fit a fusion to the scores of a development set.

    Args:
        bonafide: (n, systems) scores of the bona fide trials.
        spoof: (m, systems) scores of the spoof trials.

    Raises:
        MixframeError: a class is empty, a score is NaN or infinite, the fit does not converge, or
            the fused scores separate the classes without an error: then no finite weights are the
            best ones.
    """
    classes = [np.asarray(c, dtype=np.float64) for c in (bonafide, spoof)]
    for scores, name in zip(classes, ("bonafide", "spoof"), strict=True):
        for column in scores.T:
            checked_scores(column, name)
    pooled = np.concatenate(classes)
    centre, scale = pooled.mean(axis=0), pooled.std(axis=0)
    scale[scale == 0] = 1
    sizes = (len(classes[0]), len(classes[1]))
    slopes, constant = least_cllr((pooled - centre) / scale, sizes, RIDGE, "fusion")
    weights = slopes / scale
    fusion = Fusion(tuple(weights.tolist()), float(constant - weights @ centre))
    if weights.any() and fusion(classes[0]).min() >= fusion(classes[1]).max():
        raise MixframeError(
            f"fusion: its scores separate the {sizes[0]} bona fide from the {sizes[1]} spoof "
            "trials of the development set without an error, so that no finite weights are the "
            "best ones; a larger or harder development set is needed"
        )
    return fusion


def read(scores: Sequence[Path], keys: Path, subset: str | None = None) -> pd.DataFrame:
    """Read the scores of several systems on the same trials.

    Returns:
        trial, label, and the scores of each system in the columns 0, 1, ..., in the order of the
        keys.

    Raises:
        MixframeError: a file cannot be used, or does not have exactly one score for each trial; as
            `protocols.join`.
    """
    tables = [protocols.join(path, keys, subset).table for path in scores]
    columns = {number: table["score"] for number, table in enumerate(tables)}
    return tables[0][["trial", "label"]].join(pd.DataFrame(columns))


def by_class(table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return the (n, systems) scores of either class of what `read` returned, by trial."""
    # Sums depend on their order: sorted, they do not depend on that of the files.
    ordered = table.sort_values("trial")
    scores = ordered.drop(columns=["trial", "label"]).to_numpy(np.float64)
    bonafide = (ordered["label"] == "bonafide").to_numpy()
    return scores[bonafide], scores[~bonafide]


def fuse(table: pd.DataFrame, dev: pd.DataFrame) -> tuple[Fusion, FloatArray]:
    """Fit a fusion to what `read` returned of a development set.

    Returns:
        the fusion, and the log-likelihood ratios of the rows of `table`, (n,) float64.
    """
    fusion = fit(*by_class(dev))
    return fusion, fusion(table.drop(columns=["trial", "label"]))
