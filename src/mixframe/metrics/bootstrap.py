"""Bootstrap intervals of EER and minDCF, and the paired bootstrap of two systems.

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
  no error rate; it is drawn again from the same random stream, and the result says how many were.

Intervals are percentile intervals: the (1 - level) / 2 and (1 + level) / 2 quantiles of the
resampled values, by `numpy.quantile(method="linear")`.

Random numbers come from the seed alone. Resamples are drawn in chunks of `CHUNK`, each with its own
child of the seed, so results do not depend on the number of workers; trials are put in the order of
their scores first, so they do not depend on the order of the rows either.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError
from mixframe.metrics.detection import (
    DcfCosts,
    FloatArray,
    IntArray,
    checked_scores,
    min_dcf_of_points,
)

CHUNK = 25
"""Resamples that share one child of the seed. Another value gives other random numbers."""

Unit = Literal["trial", "speaker"]


@dataclass(frozen=True)
class Interval:
    """An estimate on the data as given and its percentile interval, all as fractions."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A difference of two systems, its percentile interval and its two-sided p-value.

    Attributes:
        estimate: first system minus second, on the data as given.
        low, high: percentile interval of the difference.
        p_value: 2 (1 + k) / (1 + resamples), at most 1, where k is the smaller of the number of
            resampled differences at or below 0 and the number at or above 0.
    """

    estimate: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Resampling:
    """How the resamples were drawn.

    Attributes:
        unit: "speaker" or "trial".
        n_units: speakers, or trials of both classes.
        resamples: number of resamples that were used.
        redrawn: resamples drawn again because a class was absent (always 0 by trial).
        level: coverage aimed at, 0.95 for a 95 % interval.
        seed: as given.
    """

    unit: Unit
    n_units: int
    resamples: int
    redrawn: int
    level: float
    seed: int


@dataclass(frozen=True)
class BootstrapResult:
    """Intervals of one system."""

    eer: Interval
    min_dcf: Interval
    resampling: Resampling


@dataclass(frozen=True)
class PairedResult:
    """Differences of two systems on the same trials, first minus second."""

    eer: Difference
    min_dcf: Difference
    resampling: Resampling


@dataclass(frozen=True)
class _Ranking:
    """One class of one system: where each DET point cuts the sorted trials.

    Attributes:
        order: (n,) trial at each place of the ascending order, None if the trials are sorted.
        cuts: (k + 1,) number of trials of this class at or below each threshold, first 0.
    """

    order: IntArray | None
    cuts: IntArray

    def cumulative(self, counts: IntArray) -> IntArray:
        """Return the number of drawn trials among the lowest 0, 1 ... n, (n + 1,)."""
        sums = np.zeros(counts.size + 1, dtype=np.int64)
        np.cumsum(counts if self.order is None else counts[self.order], out=sums[1:])
        return sums


@dataclass(frozen=True)
class _System:
    """Both classes of one system.

    Attributes:
        corners: thresholds at which a cost can be lowest, whatever is drawn: those of a spoof
            score, or below all, with a bona fide score next, or none. Between two of them the cost
            first rises with the bona fide scores passed, then falls with the spoof scores.
    """

    bonafide: _Ranking
    spoof: _Ranking
    corners: tuple[IntArray, IntArray]

    def metrics(
        self, counts_bonafide: IntArray, counts_spoof: IntArray, costs: DcfCosts
    ) -> tuple[float, float]:
        """Return EER and minDCF of the trials repeated `counts` times."""
        bonafide = self.bonafide.cumulative(counts_bonafide)
        spoof = self.spoof.cumulative(counts_spoof)
        p_miss = bonafide[self.corners[0]] / bonafide[-1]
        p_fa = (spoof[-1] - spoof[self.corners[1]]) / spoof[-1]
        return self._eer(bonafide, spoof), min_dcf_of_points(p_miss, p_fa, costs)

    def _eer(self, bonafide: IntArray, spoof: IntArray) -> float:
        """Return the EER; P_miss - P_fa rises with the threshold, so its sign is searched for."""
        n_bonafide, n_spoof = int(bonafide[-1]), int(spoof[-1])

        def rates(index: int) -> tuple[float, float]:
            n_miss, n_rejected = bonafide[self.bonafide.cuts[index]], spoof[self.spoof.cuts[index]]
            return int(n_miss) / n_bonafide, (n_spoof - int(n_rejected)) / n_spoof

        below, above = 0, self.spoof.cuts.size - 1
        while above - below > 1:
            middle = (below + above) // 2
            p_miss, p_fa = rates(middle)
            below, above = (below, middle) if p_miss >= p_fa else (middle, above)
        before, after = rates(below), rates(above)
        # Of two equally near points the one of the lower threshold counts, as in `eer_index`.
        p_miss, p_fa = before if before[1] - before[0] <= after[0] - after[1] else after
        return (p_miss + p_fa) / 2


@dataclass(frozen=True)
class _Trials:
    """The trials to draw: class sizes and, by speaker, the speaker number of each trial."""

    n_bonafide: int
    n_spoof: int
    speakers: tuple[IntArray, IntArray] | None
    n_speakers: int

    def draw(self, rng: np.random.Generator) -> tuple[IntArray, IntArray, int]:
        """Return the counts of bona fide and spoof trials, and the number of redraws."""
        if self.speakers is None:
            return _counts(rng, self.n_bonafide), _counts(rng, self.n_spoof), 0
        redrawn = 0
        # Ends soon: each class has a speaker, who is in a resample with probability 1 - 1/e or
        # more, so even of one-speaker classes a third of the draws has both.
        while True:
            drawn = _counts(rng, self.n_speakers)
            counts_bonafide, counts_spoof = (drawn[s] for s in self.speakers)
            if counts_bonafide.any() and counts_spoof.any():
                return counts_bonafide, counts_spoof, redrawn
            redrawn += 1


def _counts(rng: np.random.Generator, n: int) -> IntArray:
    """Return how often each of n units is in n draws with replacement: a multinomial vector."""
    return np.bincount(rng.integers(0, n, size=n), minlength=n)


def bootstrap(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    costs: DcfCosts,
    *,
    seed: int,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    workers: int = 1,
) -> BootstrapResult:
    """Return percentile intervals of EER and minDCF.

    Args:
        bonafide: (n,) scores of the bona fide trials, higher is more bona fide.
        spoof: (m,) scores of the spoof trials.
        costs: prior and costs of the minDCF.
        seed: 0 or above.
        groups: speakers of the bona fide (n,) and of the spoof trials (m,), as strings or
            integers; resampling is by speaker if given, by trial within each class otherwise. With
            few speakers (below about 30) percentile intervals are too narrow.
        resamples: number of resamples.
        level: coverage, in (0, 1).
        workers: threads; changes the time only.

    Raises:
        MixframeError: a class is empty, a score is NaN or infinite, a speaker is missing, there is
            only one speaker, groups and scores differ in length, or an option is out of range.
    """
    return bootstrap_mean(
        [(bonafide, spoof)],
        costs,
        seed=seed,
        groups=groups,
        resamples=resamples,
        level=level,
        workers=workers,
    )


def bootstrap_mean(
    runs: Sequence[tuple[ArrayLike, ArrayLike]],
    costs: DcfCosts,
    *,
    seed: int,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    workers: int = 1,
) -> BootstrapResult:
    """Return percentile intervals of the mean EER and the mean minDCF of several runs.

    The runs (one system trained with several seeds) are evaluated on the same resamples, so the
    interval is about other trials, with these runs.

    Args:
        runs: (bona fide, spoof) scores of each run, (n,) and (m,), the same trials in the same
            order.
        costs, seed, groups, resamples, level, workers: as in `bootstrap`.

    Raises:
        MixframeError: as `bootstrap`, or the runs differ in the number of trials.
    """
    systems = _checked({"": runs})
    values, resampling = _resample(systems, costs, groups, seed, resamples, level, workers)
    means = values.mean(axis=1)
    eer, min_dcf = (
        Interval(float(means[0, k]), *_percentiles(means[1:, k], level)) for k in (0, 1)
    )
    return BootstrapResult(eer, min_dcf, resampling)


def paired_bootstrap(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    costs: DcfCosts,
    *,
    seed: int,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    workers: int = 1,
) -> PairedResult:
    """Return intervals and p-values of the differences of two systems on the same trials.

    Both systems are evaluated on the same resamples, so what is common to them cancels.

    Args:
        first: (bona fide, spoof) scores of the first system, (n,) and (m,).
        second: those of the second system, the same trials in the same order.
        costs, seed, groups, resamples, level, workers: as in `bootstrap`.

    Raises:
        MixframeError: as `bootstrap`, or the two systems differ in the number of trials.
    """
    pair = {"first system": [first], "second system": [second]}
    found = pairwise_bootstrap(
        pair,
        costs,
        seed=seed,
        groups=groups,
        resamples=resamples,
        level=level,
        workers=workers,
    )
    return found["first system", "second system"]


def pairwise_bootstrap(
    systems: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]],
    costs: DcfCosts,
    *,
    seed: int,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    workers: int = 1,
) -> dict[tuple[str, str], PairedResult]:
    """Return the differences of every two of several systems, all on the same resamples.

    Args:
        systems: for each system the (bona fide, spoof) scores of its runs, as in
            `bootstrap_mean`; its figures are the means over the runs.
        costs, seed, groups, resamples, level, workers: as in `bootstrap`.

    Returns:
        by (first, second), in the order of the systems: first minus second.

    Raises:
        MixframeError: as `bootstrap`, or the runs differ in the number of trials.
    """
    runs = _checked(systems)
    values, resampling = _resample(runs, costs, groups, seed, resamples, level, workers)
    ends = np.cumsum([len(pairs) for pairs in systems.values()])
    means = dict(
        zip(systems, (v.mean(axis=1) for v in np.split(values, ends[:-1], axis=1)), strict=True)
    )
    found = {}
    for first, second in combinations(systems, 2):
        differences = means[first] - means[second]
        eer, min_dcf = (_difference(differences[:, k], level) for k in (0, 1))
        found[first, second] = PairedResult(eer, min_dcf, resampling)
    return found


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


def _checked(
    systems: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]],
) -> list[tuple[FloatArray, FloatArray]]:
    """Return the scores of all runs, checked; a message names the system and the class."""
    runs: list[tuple[FloatArray, FloatArray]] = []
    for system, pairs in systems.items():
        begin = f"{system}, " if system else ""
        for pair in pairs:
            bonafide, spoof = (
                checked_scores(scores, f"{begin}{label}")
                for label, scores in zip(("bonafide", "spoof"), pair, strict=True)
            )
            runs.append((bonafide, spoof))
            for label, one, other in zip(("bonafide", "spoof"), runs[0], runs[-1], strict=True):
                if one.size != other.size:
                    raise MixframeError(
                        f"bootstrap: {begin}{label}: {other.size} scores, but {one.size} in the "
                        "first run; all must score the same trials in the same order"
                    )
    return runs


def _difference(values: FloatArray, level: float) -> Difference:
    estimate, resampled = float(values[0]), values[1:]
    rarer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p_value = min(1.0, 2 * (1 + rarer) / (1 + resampled.size))
    return Difference(estimate, *_percentiles(resampled, level), p_value)


def _percentiles(values: FloatArray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="linear")
    return float(low), float(high)


def _resample(
    systems: Sequence[tuple[FloatArray, FloatArray]],
    costs: DcfCosts,
    groups: tuple[ArrayLike, ArrayLike] | None,
    seed: int,
    resamples: int,
    level: float,
    workers: int,
) -> tuple[FloatArray, Resampling]:
    """Return (1 + resamples, systems, 2) EER and minDCF, the data as given first."""
    for name, value in (("resamples", resamples), ("workers", workers)):
        if value < 1:
            raise MixframeError(f"bootstrap: {name} is {value}, expected 1 or more")
    if not 0 < level < 1:
        raise MixframeError(f"bootstrap: level is {level}, expected between 0 and 1")
    if seed < 0:
        raise MixframeError(f"bootstrap: seed is {seed}, expected 0 or above")

    n_bonafide, n_spoof = (scores.size for scores in systems[0])
    speakers, n_speakers = None, 0
    if groups is not None:
        speakers, n_speakers = _speaker_numbers(groups, n_bonafide, n_spoof)
    # Trials with the same scores may keep any order: they are summed at the same DET point.
    orders = [np.lexsort([system[k] for system in reversed(systems)]) for k in (0, 1)]
    if speakers is not None:
        speakers = (speakers[0][orders[0]], speakers[1][orders[1]])
    prepared = [_prepare(b[orders[0]], s[orders[1]]) for b, s in systems]
    trials = _Trials(n_bonafide, n_spoof, speakers, n_speakers)

    def run_chunk(child: np.random.SeedSequence, size: int) -> tuple[list[Any], int]:
        rng = np.random.default_rng(child)
        rows, redrawn = [], 0
        for _ in range(size):
            counts_bonafide, counts_spoof, again = trials.draw(rng)
            rows.append([s.metrics(counts_bonafide, counts_spoof, costs) for s in prepared])
            redrawn += again
        return rows, redrawn

    sizes = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    children = np.random.SeedSequence(seed).spawn(len(sizes))
    with ThreadPoolExecutor(workers) as pool:
        chunks = list(pool.map(run_chunk, children, sizes))

    ones = np.ones(n_bonafide, dtype=np.int64), np.ones(n_spoof, dtype=np.int64)
    rows = [[s.metrics(*ones, costs) for s in prepared]]
    for chunk, _ in chunks:
        rows.extend(chunk)
    resampling = Resampling(
        unit="trial" if speakers is None else "speaker",
        n_units=n_bonafide + n_spoof if speakers is None else n_speakers,
        resamples=resamples,
        redrawn=sum(redrawn for _, redrawn in chunks),
        level=level,
        seed=seed,
    )
    return np.asarray(rows, dtype=np.float64), resampling


def _prepare(bonafide: FloatArray, spoof: FloatArray) -> _System:
    thresholds = np.unique(np.concatenate((bonafide, spoof)))
    first, second = _rank(bonafide, thresholds), _rank(spoof, thresholds)
    rises, falls = np.diff(first.cuts) > 0, np.diff(second.cuts) > 0
    corners = np.concatenate(([True], falls)) & np.concatenate((rises, [True]))
    return _System(first, second, (first.cuts[corners], second.cuts[corners]))


def _rank(scores: FloatArray, thresholds: FloatArray) -> _Ranking:
    order = np.argsort(scores, kind="stable")
    cuts = np.searchsorted(scores[order], thresholds, side="right")
    is_sorted = bool((np.diff(scores) >= 0).all())
    return _Ranking(None if is_sorted else order, np.concatenate(([0], cuts)))


def _speaker_numbers(
    groups: tuple[ArrayLike, ArrayLike], n_bonafide: int, n_spoof: int
) -> tuple[tuple[IntArray, IntArray], int]:
    # pandas takes a third of a second to import, and resampling by trial does not need it.
    import pandas as pd

    arrays: list[NDArray[Any]] = []
    for values, n, name in zip(groups, (n_bonafide, n_spoof), ("bonafide", "spoof"), strict=True):
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
    return (numbers[:n_bonafide], numbers[n_bonafide:]), len(names)
