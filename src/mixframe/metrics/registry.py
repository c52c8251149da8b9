"""The metrics of a system on its trials, a line each.

A metric is a function of a `Sample` and the costs, and a line of `METRICS`. The line puts it into
`mixframe evaluate` and `compare`, and into the files and tables of a preset. With `interval` it is
bootstrapped as well: a resample is a `Sample` too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mixframe.metrics.detection import (
    DcfCosts,
    Sample,
    act_dcf,
    cllr,
    min_dcf_of_points,
    rocch_of_points,
)
from mixframe.metrics.tables import percent

VALUE = ("",)
INTERVAL = ("", "_low", "_high")


@dataclass(frozen=True)
class Metric:
    """A metric and where it is shown.

    Attributes:
        key: in JSON; keys of an interval end in _low and _high.
        value: the metric of a sample; a fraction if the unit is percent.
        name: in printed tables; "" keeps it out of them.
        unit: %, bits or none.
        interval: it has a bootstrap interval and, between two systems, a difference.
        brief: what of it stands by condition and in metrics/<system>.json.
        calibrated: calibration changes it, so it stands there a second time.
    """

    key: str
    value: Callable[[Sample, DcfCosts], float]
    name: str = ""
    unit: str = ""
    interval: bool = False
    brief: tuple[str, ...] = ()
    calibrated: bool = False

    @property
    def brief_keys(self) -> list[str]:
        """The keys that stand by condition and in metrics/<system>.json."""
        return [self.key + end for end in self.brief]

    def title(self, note: str = "") -> str:
        """Return the name with its unit."""
        return ", ".join(part for part in (self.name, note, self.unit) if part)

    def write(self, value: float | None) -> str:
        """Write a value; `-` where there is none."""
        if value is None:
            return "-"
        return percent(value) if self.unit == "%" else f"{value:.4f}"

    def span(self, low: float, high: float) -> str:
        """Write an interval."""
        return f"[{self.write(low)}, {self.write(high)}]"


EER = Metric("eer", lambda s, _: s.eer, "EER", "%", interval=True, brief=INTERVAL)

METRICS = (
    EER,
    Metric("eer_threshold", lambda s, _: s.threshold),
    Metric("eer_rocch", lambda s, _: rocch_of_points(s.det), "EER of the convex hull", "%"),
    Metric(
        "min_dcf",
        lambda s, costs: min_dcf_of_points(*s.corners, costs),
        "minDCF",
        interval=True,
        brief=VALUE,
    ),
    Metric(
        "act_dcf", lambda s, costs: act_dcf(s.bonafide, s.spoof, costs), "actDCF", calibrated=True
    ),
    Metric("cllr", lambda s, _: cllr(s.bonafide, s.spoof), "Cllr", "bits", calibrated=True),
)


def point_metrics(sample: Sample, costs: DcfCosts) -> dict[str, float]:
    """Return the value of every metric by key, then n_bonafide and n_spoof, numbers of trials."""
    values = {metric.key: metric.value(sample, costs) for metric in METRICS}
    return {**values, "n_bonafide": sample.bonafide.size, "n_spoof": sample.spoof.size}
