"""The interval of an EER from scores in memory."""

from typing import NamedTuple

from numpy.typing import ArrayLike

from mixframe.metrics import bootstrap
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts
from mixframe.metrics.registry import EER

UNUSED = DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)
"""An EER has no costs."""


class EerInterval(NamedTuple):
    """An EER and its percentile interval, as shares."""

    eer: float
    low: float
    high: float


def eer_interval(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> EerInterval:
    """Return the EER with a bootstrap interval (`mixframe.metrics.bootstrap`).

    Args:
        bonafide, spoof: (n,) and (m,) scores; higher = more bona fide.
        groups: speakers of both, (n,) and (m,): whole speakers are drawn; without them trials are.
        level: coverage.

    Raises:
        MixframeError: a class is empty, a score is not finite, a number is out of range, or groups
            do not fit.
    """
    how = Settings(UNUSED, "trial" if groups is None else "speaker", resamples, level, seed)
    values = bootstrap.resample({"": [(bonafide, spoof)]}, [EER], how, groups)[""][EER.key]
    return EerInterval(float(values[0]), *bootstrap.interval(values, level))
