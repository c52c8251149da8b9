"""The bootstrap: metrics on resampled trials, their intervals, and the differences of systems.

A resample is a vector of counts, how often each trial was drawn. The scores are sorted once; the
DET points of a resample are cumulative sums of its counts in that order, which gives exactly the
EER and the minDCF of the resampled scores without sorting them again. Only the points are looked at
that can matter: the two around the crossing of the rates, and the corners of the DET curve.

What is drawn:

- By trial (no groups): n of the n bona fide and m of the m spoof trials, each class on its own
  with replacement, so a resample has the class sizes of the data.
- By speaker (groups given): s of the s speakers with replacement. A speaker drawn k times brings
  each of their trials k times, bona fide and spoof alike; class sizes therefore vary and the rates
  are over the sizes of the resample. A resample without a bona fide or without a spoof trial has
  no error rate; it is drawn again from the same random stream.

Random numbers come from the seed alone. Resamples are drawn in chunks of `CHUNK`, each with its own
child of the seed, so results do not depend on the number of workers; trials are put in the order of
their scores first, so they do not depend on the order of the rows either.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import DcfCosts, FloatArray, IntArray, Sample
from mixframe.metrics.registry import Metric

CHUNK = 25
"""Resamples that share one child of the seed. Another value gives other random numbers."""

Scores = tuple[ArrayLike, ArrayLike]
"""Of the bona fide (n,) and of the spoof trials (m,)."""


@dataclass(frozen=True)
class Settings:
    """How intervals are made, and what errors cost.

    Attributes:
        unit: trial, or the column whose values are drawn with all their trials.
        resamples: number of resamples.
        level: coverage of the intervals, in (0, 1).
        seed: of the resamples, 0 or above.
        workers: threads; they change the time only.

    Raises:
        MixframeError: a number is out of range.
    """

    costs: DcfCosts
    unit: str
    resamples: int
    level: float
    seed: int
    workers: int = 1

    def __post_init__(self) -> None:
        for name, value, lowest in (
            ("resamples", self.resamples, 1),
            ("workers", self.workers, 1),
            ("seed", self.seed, 0),
        ):
            if value < lowest:
                raise MixframeError(f"bootstrap: {name} is {value}, expected {lowest} or more")
        if not 0 < self.level < 1:
            raise MixframeError(f"bootstrap: level is {self.level}, expected between 0 and 1")


def resample(
    systems: Mapping[str, Sequence[Scores]],
    metrics: Sequence[Metric],
    settings: Settings,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
) -> dict[str, dict[str, FloatArray]]:
    """Return means over the runs of each system of what `resample_runs` returns.

    Returns:
        by system and key of the metric (1 + resamples,) means over the system's runs; the first is
        that of the data as given.
    """
    by_run = resample_runs(systems, metrics, settings, groups)
    return {
        system: {key: values.mean(axis=0) for key, values in figures.items()}
        for system, figures in by_run.items()
    }


def resample_runs(
    systems: Mapping[str, Sequence[Scores]],
    metrics: Sequence[Metric],
    settings: Settings,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
) -> dict[str, dict[str, FloatArray]]:
    """Return metrics of several systems on the same trials, as given and resampled.

    All runs of all systems are evaluated on the same resamples, so what is common to two systems
    cancels in their difference, and an interval is about other trials, with these runs.

    Args:
        systems: scores of the runs of each system (trainings with several seeds), all of the same
            trials in the same order.
        groups: speakers of the bona fide (n,) and of the spoof trials (m,), as strings or integers;
            resampling is by speaker if given, by trial within each class otherwise.

    Returns:
        by system and key of the metric (runs, 1 + resamples); the first value of a run is that of
        the data as given.

    Raises:
        MixframeError: a class is empty, a score is NaN or infinite, a speaker is missing, there is
            only one speaker, or runs or groups differ in the number of trials.
    """
    runs = _checked(systems)
    sizes = runs[0].bonafide.size, runs[0].spoof.size
    # Trials with the same scores may keep any order: they are summed at the same DET point.
    by_bonafide = np.lexsort([run.bonafide for run in reversed(runs)])
    by_spoof = np.lexsort([run.spoof for run in reversed(runs)])
    speakers = None
    if groups is not None:
        numbers, n_speakers = _speaker_numbers(groups, sizes)
        speakers = numbers[0][by_bonafide], numbers[1][by_spoof]
    ranked = [_Ranking(run.bonafide[by_bonafide], run.spoof[by_spoof]) for run in runs]

    def values(counts: tuple[IntArray, IntArray]) -> list[list[float]]:
        samples = (_Resample(ranking, counts) for ranking in ranked)
        return [[metric.value(sample, settings.costs) for metric in metrics] for sample in samples]

    def draw(rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        if speakers is None:
            return _counts(rng, sizes[0]), _counts(rng, sizes[1])
        return _speaker_counts(rng, speakers, n_speakers)

    def run_chunk(child: np.random.SeedSequence, size: int) -> list[list[list[float]]]:
        rng = np.random.default_rng(child)
        return [values(draw(rng)) for _ in range(size)]

    starts = range(0, settings.resamples, CHUNK)
    children = np.random.SeedSequence(settings.seed).spawn(len(starts))
    chunks = [min(CHUNK, settings.resamples - start) for start in starts]
    rows = [values((np.ones(sizes[0], dtype=np.int64), np.ones(sizes[1], dtype=np.int64)))]
    with ThreadPoolExecutor(settings.workers) as pool:
        for chunk in pool.map(run_chunk, children, chunks):
            rows.extend(chunk)
    # (metrics, runs, 1 + resamples), in memory too: a mean then adds run after run.
    by_run = np.asarray(rows, dtype=np.float64).transpose(2, 1, 0).copy()
    ends = np.cumsum([len(pairs) for pairs in systems.values()])
    return {
        system: dict(zip((m.key for m in metrics), part, strict=True))
        for system, part in zip(systems, np.split(by_run, ends[:-1], axis=1), strict=True)
    }


def interval(values: FloatArray, level: float) -> tuple[float, float]:
    """Return the percentile interval of values as of `resample`.

    It is from the (1 - level) / 2 to the (1 + level) / 2 quantile of the resampled values, by
    `numpy.quantile(method="linear")`. With few speakers (below about 30) it is too narrow.
    """
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2], method="linear")
    return float(low), float(high)


def difference(first: FloatArray, second: FloatArray, level: float) -> dict[str, float]:
    """Compare two systems by their values of one `resample`.

    Returns:
        difference: first minus second, on the data as given. low, high: its percentile interval.
        p_value: two-sided, 2 (1 + k) / (1 + resamples), at most 1, where k is the smaller of the
        number of resampled differences at or below 0 and the number at or above 0.
    """
    values = first - second
    low, high = interval(values, level)
    rarer = min(int((values[1:] <= 0).sum()), int((values[1:] >= 0).sum()))
    p_value = min(1.0, 2 * (1 + rarer) / values.size)
    return {"difference": float(values[0]), "low": low, "high": high, "p_value": p_value}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm, 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1 and never below the one before it. Calling
    those at or below alpha supported keeps the chance of any false one at alpha at most.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


class _Ranking:
    """Both classes of one run: where each threshold cuts the sorted trials.

    Attributes:
        scores: bona fide (n,) and spoof (m,), in the order in which trials are counted.
        orders: the trial at each place of the ascending order of each class.
        cuts: (k + 1,) number of trials of each class at or below each threshold, first 0.
        corners: cuts at the thresholds at which a cost can be lowest, whatever is drawn: those of a
            spoof score, or below all, with a bona fide score next, or none. Between two of them the
            cost first rises with the bona fide scores passed, then falls with the spoof scores.
    """

    def __init__(self, *scores: FloatArray) -> None:
        self.scores = scores
        thresholds = np.unique(np.concatenate(scores))
        self.orders = [_order(values) for values in scores]
        ordered = [values[order] for values, order in zip(scores, self.orders, strict=True)]
        cuts = [np.searchsorted(values, thresholds, side="right") for values in ordered]
        self.cuts = [np.concatenate(([0], c)) for c in cuts]
        rises, falls = (np.diff(c) > 0 for c in self.cuts)
        corners = np.concatenate(([True], falls)) & np.concatenate((rises, [True]))
        self.corners = [c[corners] for c in self.cuts]


def _order(values: FloatArray) -> IntArray | slice:
    """Return what sorts values: nothing where they are sorted, because counts are many."""
    if (np.diff(values) >= 0).all():
        return slice(None)
    return np.argsort(values, kind="stable")


class _Resample(Sample):
    """The trials of a run, each as often as it was drawn.

    Args:
        counts: of the bona fide (n,) and of the spoof trials (m,), in the order of the ranking.
    """

    def __init__(self, ranking: _Ranking, counts: tuple[IntArray, IntArray]) -> None:
        self._ranking, self._counts = ranking, counts
        # (n + 1,) and (m + 1,) drawn trials among the lowest 0, 1 ... n.
        self._sums = [_sums(c[order]) for c, order in zip(counts, ranking.orders, strict=True)]

    @cached_property
    def bonafide(self) -> FloatArray:
        """The scores of the drawn bona fide trials."""
        return np.repeat(self._ranking.scores[0], self._counts[0])

    @cached_property
    def spoof(self) -> FloatArray:
        """The scores of the drawn spoof trials."""
        return np.repeat(self._ranking.scores[1], self._counts[1])

    @property
    def corners(self) -> tuple[FloatArray, FloatArray]:
        """P_miss and P_fa of the points at which a cost can be lowest."""
        bonafide, spoof = self._sums
        at_bonafide, at_spoof = self._ranking.corners
        return bonafide[at_bonafide] / bonafide[-1], (spoof[-1] - spoof[at_spoof]) / spoof[-1]

    @property
    def eer(self) -> float:
        """The EER; P_miss - P_fa rises with the threshold, so its sign is searched for."""
        bonafide, spoof = self._sums
        at_bonafide, at_spoof = self._ranking.cuts
        n_bonafide, n_spoof = int(bonafide[-1]), int(spoof[-1])

        def rates(index: int) -> tuple[float, float]:
            n_miss, n_rejected = bonafide[at_bonafide[index]], spoof[at_spoof[index]]
            return int(n_miss) / n_bonafide, (n_spoof - int(n_rejected)) / n_spoof

        below, above = 0, at_spoof.size - 1
        while above - below > 1:
            middle = (below + above) // 2
            p_miss, p_fa = rates(middle)
            below, above = (below, middle) if p_miss >= p_fa else (middle, above)
        before, after = rates(below), rates(above)
        # Of two equally near points the one of the lower threshold counts, as in `eer_index`.
        p_miss, p_fa = before if before[1] - before[0] <= after[0] - after[1] else after
        return (p_miss + p_fa) / 2


def _sums(counts: IntArray) -> IntArray:
    sums = np.zeros(counts.size + 1, dtype=np.int64)
    np.cumsum(counts, out=sums[1:])
    return sums


def _counts(rng: np.random.Generator, n: int) -> IntArray:
    """Return how often each of n units is in n draws with replacement: a multinomial vector."""
    return np.bincount(rng.integers(0, n, size=n), minlength=n)


def _speaker_counts(
    rng: np.random.Generator, speakers: tuple[IntArray, IntArray], n_speakers: int
) -> tuple[IntArray, IntArray]:
    """Return the counts of bona fide and spoof trials of drawn speakers, both classes present."""
    # Ends soon: each class has a speaker, who is in a resample with probability 1 - 1/e or more, so
    # even of one-speaker classes a third of the draws has both.
    while True:
        drawn = _counts(rng, n_speakers)
        bonafide, spoof = drawn[speakers[0]], drawn[speakers[1]]
        if bonafide.any() and spoof.any():
            return bonafide, spoof


def _checked(systems: Mapping[str, Sequence[Scores]]) -> list[Sample]:
    """Return the scores of all runs, checked; a message names the system and the class."""
    runs: list[Sample] = []
    for system, pairs in systems.items():
        for pair in pairs:
            run = Sample(*pair, system)
            runs.append(run)
            for label in ("bonafide", "spoof"):
                size, first = (getattr(one, label).size for one in (run, runs[0]))
                if size != first:
                    begin = f"{system}, " if system else ""
                    raise MixframeError(
                        f"bootstrap: {begin}{label}: {size} scores, but {first} in the "
                        "first run; all must score the same trials in the same order"
                    )
    return runs


def _speaker_numbers(
    groups: tuple[ArrayLike, ArrayLike], sizes: tuple[int, int]
) -> tuple[tuple[IntArray, IntArray], int]:
    """Return the speaker number of each trial of both classes, and the number of speakers."""
    arrays: list[NDArray[Any]] = []
    for values, n, name in zip(groups, sizes, ("bonafide", "spoof"), strict=True):
        array = np.asarray(values, dtype=object)
        if array.shape != (n,):
            raise MixframeError(
                f"bootstrap: speakers of shape {array.shape} for {n} {name} scores, expected ({n},)"
            )
        missing = pd.isna(array) | (array == "")
        if missing.any():
            raise MixframeError(
                f"bootstrap: {int(missing.sum())} of {n} {name} trials have no speaker, the first "
                f"at row {int(missing.argmax())}; give every speaker, or resample by trial"
            )
        arrays.append(array.astype(str))
    numbers, names = pd.factorize(np.concatenate(arrays).astype(object), sort=True)
    if len(names) < 2:
        raise MixframeError(
            f"bootstrap: 1 speaker ({names[0]}), expected at least 2 to resample by speaker; "
            "resample by trial"
        )
    return (numbers[: sizes[0]], numbers[sizes[0] :]), len(names)
