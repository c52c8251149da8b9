"""Intervals over trials and trainings together.

A figure of several trainings on the same trials varies for two reasons: other trials, and another
training. This is the design of a study in which several readers judge the same cases, with
trainings for readers and trials for cases, and it is analysed as such a study is, by the method of
Obuchowski and Rockette (1995, Communications in Statistics 24) with the degrees of freedom of
Hillis (2007, Statistics in Medicine 26). The variance of a mean over R trainings is

    c + s^2 / R

where s^2 is the sample variance of the figure over the trainings, and c, the part that all of them
share, is the mean covariance of two trainings over resampled trials (at least 0). s^2 also has what
the trials do to each training on its own, so nothing is counted twice. The interval is that of
Student's t with the degrees of freedom of Satterthwaite (1946), R - 1 for s^2 / R and the number of
resampled units less one for c.

Resampling R = 3 trainings with replacement would underestimate their variance by a third, and
t with two degrees of freedom is what its uncertainty costs: intervals of few trainings are wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

from scipy.special import stdtr, stdtrit

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import FloatArray


@dataclass(frozen=True)
class TwoLevel:
    """A figure with its variance over trials and over trainings.

    Attributes:
        value: the figure, a fraction.
        trials: c, the variance by the trials that all trainings share.
        training: s^2 / R, the variance by the trainings.
        freedom: degrees of freedom; infinite where nothing varies.
    """

    value: float
    trials: float
    training: float
    freedom: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the figure over both."""
        return sqrt(self.trials + self.training)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of Student's t, not cut to any range."""
        half = self.deviation and float(stdtrit(self.freedom, (1 + level) / 2)) * self.deviation
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the figure being 0."""
        if self.deviation == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.deviation))


def two_level(parts: Sequence[FloatArray], n_units: int) -> TwoLevel | None:
    """Return a sum of means over trainings with its variance.

    A difference of two systems whose trainings are paired by their seeds is one part, of the
    differences of each pair. Where they are not paired it is two parts, the second one negative.

    Args:
        parts: each (trainings, 1 + resamples), values of independent trainings as of
            `bootstrap.resample_runs`, all parts on the same resamples of the trials.
        n_units: number of units that were resampled, 2 or more.

    Returns:
        None if a part has one training only: its variance is not known.

    Raises:
        MixframeError: n_units is below 2.
    """
    if n_units < 2:
        raise MixframeError(f"two levels: {n_units} resampled units, expected 2 or more")
    if any(len(part) < 2 for part in parts):
        return None
    shared = float(sum(part[:, 1:].mean(axis=0) for part in parts).var(ddof=1))
    square = training = 0.0
    for part in parts:
        n = len(part)
        resampled = part[:, 1:]
        # What trials do to each training on its own: in the mean of n it is an n-th of that.
        own = resampled - resampled.mean(axis=0)
        shared -= float(own.var(axis=1, ddof=1).sum()) / (n - 1) / n
        variance = float(part[:, 0].var(ddof=1)) / n
        training += variance
        square += variance**2 / (n - 1)
    shared = max(shared, 0.0)
    square += shared**2 / (n_units - 1)
    value = float(sum(part[:, 0].mean() for part in parts))
    freedom = (shared + training) ** 2 / square if square else inf
    return TwoLevel(value, shared, training, freedom)
