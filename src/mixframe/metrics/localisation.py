"""Where in an utterance speech is fake: error rates weighted by duration, and their intervals.

One quantity serves: speech is cut into pieces that have one score each; the miss rate at a
threshold is the share of bona fide speech, by duration, in pieces at or below it, the false alarm
rate the share of fake speech in pieces above it, and the EER is read from these points as from
those of trials (`mixframe.metrics.detection`). Pieces of equal scores move together; there are no
bins and no search. With the pieces between every two borders it is the range-based EER of Zhang et
al. (Interspeech 2023) and the millisecond EER of Luong et al. (2025); with segments of one length,
each of weight 1, the segment EER of PartialSpoof (Zhang et al., 2021).

Weights are whole nanoseconds or counts. Their sums are exact up to 2**53 (104 days of speech), so
no figure depends on the order of anything.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError
from mixframe.metrics.bootstrap import CHUNK, Settings
from mixframe.metrics.detection import (
    Det,
    FloatArray,
    IntArray,
    checked_scores,
    eer_index,
    eer_of_points,
)
from mixframe.metrics.regionfiles import SECOND, FrameScores
from mixframe.metrics.scorefiles import named
from mixframe.metrics.segments import segment_f1

BLOCKS = 64
"""Parts of the range of scores whose weights are summed for each drawn unit beforehand."""
QUARTERS = (0.25, 0.5, 0.75)


class Pieces:
    """Pieces of speech with scores, in the order of their scores.

    Args:
        scores: (n,) finite, higher = more bona fide.
        bonafide, spoof: (n,) weights of the bona fide and of the fake speech in each piece: whole
            numbers, 0 or more. A piece may have both.
        utterances: (n,) numbers from 0 of the utterances that pieces are of; not given, every piece
            is an utterance of its own.

    Raises:
        MixframeError: lengths differ, a score is NaN or infinite, a weight is no whole number or
            negative, or there is no bona fide or no fake speech.
    """

    def __init__(
        self,
        scores: ArrayLike,
        bonafide: ArrayLike,
        spoof: ArrayLike,
        utterances: ArrayLike | None = None,
    ) -> None:
        values = checked_scores(scores, "pieces:")
        weights = [_weights(w, values.size) for w in (bonafide, spoof)]
        for weight, what in zip(weights, ("bona fide", "fake"), strict=True):
            if not weight.any():
                raise MixframeError(f"0 s of {what} speech among {values.size:,} pieces")
        # Pieces of equal scores may keep any order: their weights are summed at the same point.
        order = np.argsort(values)
        self.scores = values[order]
        self.bonafide, self.spoof = (weight[order] for weight in weights)
        numbers = np.arange(values.size) if utterances is None else np.asarray(utterances)
        self.utterances = numbers[order]

    @cached_property
    def ends(self) -> IntArray:
        """The last piece of every distinct score, (k,) indices."""
        return np.flatnonzero(np.append(self.scores[1:] != self.scores[:-1], True))

    @property
    def det(self) -> Det:
        """Every point of the DET curve, one before all scores and one a distinct score."""
        distinct = self.scores[self.ends]
        thresholds = np.concatenate(([np.nextafter(distinct[0], -np.inf)], distinct))
        missed, rejected = (
            np.concatenate(([0], np.cumsum(weight)[self.ends]))
            for weight in (self.bonafide, self.spoof)
        )
        return Det(thresholds, missed / missed[-1], (rejected[-1] - rejected) / rejected[-1])

    @cached_property
    def _point(self) -> tuple[float, float]:
        det = self.det
        threshold = det.thresholds[eer_index(det.p_miss, det.p_fa)]
        return eer_of_points(det.p_miss, det.p_fa), float(threshold)

    @property
    def eer(self) -> float:
        """The equal error rate, a fraction."""
        return self._point[0]

    @property
    def threshold(self) -> float:
        """The threshold at which the EER is read; pieces at or below it count as fake."""
        return self._point[1]

    def resample(self, units: ArrayLike, settings: Settings) -> FloatArray:
        """Return the EER of the pieces as given, and of resamples of their utterances.

        Units are drawn with replacement, each with all its pieces. A resample without bona fide or
        without fake speech has no error rate and is drawn again. The weights of each unit are
        summed once in `BLOCKS` ranges of scores; a product with the counts of a resample tells in
        which one the rates cross, and only its pieces are looked at.

        Args:
            units: (utterances,) the unit of each utterance, as numbers from 0: itself, or a
                speaker.
            settings: resamples, seed and workers; results do not depend on the latter.

        Returns:
            (1 + resamples,) fractions.

        Raises:
            MixframeError: there is one unit only.
        """
        numbers = np.asarray(units).astype(np.int32)
        n_units = int(numbers.max()) + 1
        if n_units < 2:
            raise MixframeError("bootstrap: 1 unit to draw, expected at least 2")
        drawn = _Drawn(self, numbers[self.utterances], n_units)

        def run_chunk(child: np.random.SeedSequence, size: int) -> list[float]:
            return drawn.eers(np.random.default_rng(child), size)

        starts = range(0, settings.resamples, CHUNK)
        children = np.random.SeedSequence(settings.seed).spawn(len(starts))
        sizes = [min(CHUNK, settings.resamples - start) for start in starts]
        values = [self.eer]
        with ThreadPoolExecutor(settings.workers) as pool:
            for chunk in pool.map(run_chunk, children, sizes):
                values += chunk
        return np.array(values)


def _weights(values: ArrayLike, n: int) -> IntArray:
    weights = np.asarray(values)
    if weights.shape != (n,) or not np.issubdtype(weights.dtype, np.integer):
        raise MixframeError(
            f"pieces: weights are {weights.dtype} {weights.shape}, expected ({n},) integers"
        )
    if weights.size and weights.min() < 0:
        raise MixframeError(f"pieces: a weight is {weights.min()}, expected 0 or more")
    return weights.astype(np.int64)


class _Drawn:
    """The weights of pieces by unit and block of scores, ready for counts of units."""

    def __init__(self, pieces: Pieces, units: NDArray[np.int32], n_units: int) -> None:
        self._pieces, self._units, self._n_units = pieces, units, n_units
        ends = pieces.ends
        last = np.unique(np.linspace(0, ends.size - 1, min(BLOCKS, ends.size) + 1).astype(np.int64))
        self._firsts = np.concatenate(([0], last[:-1] + 1))
        self._lasts = last
        borders = ends[last]
        keys = units * np.int64(last.size)
        keys += np.repeat(np.arange(last.size), np.diff(borders, prepend=-1))
        # (units, blocks) float64 that hold whole numbers: a product of matrices then is exact.
        self._blocks = [
            np.bincount(keys, weights=weight, minlength=n_units * last.size).reshape(n_units, -1)
            for weight in (pieces.bonafide, pieces.spoof)
        ]
        self._totals = [blocks.sum(axis=1) for blocks in self._blocks]

    def eers(self, rng: np.random.Generator, size: int) -> list[float]:
        """Return the EER of `size` resamples drawn from a stream of random numbers."""
        counts = np.empty((size, self._n_units))
        for row in counts:
            while True:
                drawn = rng.integers(0, self._n_units, size=self._n_units)
                row[:] = np.bincount(drawn, minlength=self._n_units)
                if all(row @ total > 0 for total in self._totals):
                    break
        sums = [np.cumsum(counts @ blocks, axis=1) for blocks in self._blocks]
        return [
            self._eer(row, missed, rejected)
            for row, missed, rejected in zip(counts, *sums, strict=True)
        ]

    def _eer(self, counts: FloatArray, missed: FloatArray, rejected: FloatArray) -> float:
        """Return the EER, given the weights at or below the last score of each block."""
        n_bonafide, n_spoof = missed[-1], rejected[-1]
        crossed = missed / n_bonafide >= (n_spoof - rejected) / n_spoof
        block = int(crossed.argmax())
        before = (missed[block - 1], rejected[block - 1]) if block else (0.0, 0.0)
        ends = self._pieces.ends[self._firsts[block] : self._lasts[block] + 1]
        start = self._pieces.ends[self._firsts[block] - 1] + 1 if block else 0
        inside = slice(start, ends[-1] + 1)
        times = counts[self._units[inside]]
        low, high = (
            np.concatenate(([first], first + np.cumsum(weight[inside] * times)[ends - start]))
            for first, weight in zip(
                before, (self._pieces.bonafide, self._pieces.spoof), strict=True
            )
        )
        return eer_of_points(low / n_bonafide, (n_spoof - high) / n_spoof)


def weighted_eer(scores: ArrayLike, bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Return the EER of pieces with weights: `Pieces.eer`."""
    return Pieces(scores, bonafide, spoof).eer


@dataclass(frozen=True)
class Segments:
    """Segments of one length with a score and a label each, utterance after utterance.

    Attributes:
        scores: (n,) the lowest score of the frames that a segment overlaps.
        spoof: (n,) bool, whether any part of it is fake.
        utterances: (n,) numbers of the utterances.
    """

    scores: FloatArray
    spoof: NDArray[np.bool_]
    utterances: NDArray[np.int32]

    @property
    def pieces(self) -> Pieces:
        """The segments as pieces of weight 1."""
        spoof = self.spoof.astype(np.int64)
        return Pieces(self.scores, 1 - spoof, spoof, self.utterances)

    def f1(self, threshold: float, min_iou: float) -> dict[str, float]:
        """Return what `mixframe.metrics.segments.segment_f1` does of decisions at a threshold.

        Its frames are these segments, and its segments are runs of them; those with scores at or
        below the threshold are taken for fake.
        """
        borders = np.flatnonzero(np.diff(self.utterances)) + 1
        decisions = self.scores <= threshold
        return segment_f1(np.split(self.spoof, borders), np.split(decisions, borders), min_iou)


class Timeline:
    """Utterances one after another on one axis of time, with fake parts and frames with scores.

    A frame lasts until the next one begins, the last until its utterance ends and the first from
    its beginning; frames that begin after the end are left out.

    Args:
        truth: columns utterance, duration (int64 nanoseconds; 0 where the frames tell it) and
            regions, as of `regionfiles.read_regions`.
        scored: scores of exactly these utterances, in any order.
        step: nanoseconds from one frame to the next where `scored` has no starts.

    Attributes:
        names: (n,) utterances in the order of `truth`.
        durations: (n,) int64 nanoseconds.
        scores, spoof, bonafide: (m,) of each frame, its score and nanoseconds of either speech.
        utterances: (m,) number of the utterance of each frame.
        n_regions, longest: (n,) fake parts of each utterance, and the nanoseconds of the longest.
        coverage: seconds of the frames, as their step has it, over seconds of the utterances.

    Raises:
        MixframeError: utterances without scores or scores without an utterance (five named), or a
            region after the end of its utterance.
    """

    def __init__(self, truth: pd.DataFrame, scored: FrameScores, step: int) -> None:
        self.names: list[str] = truth["utterance"].tolist()
        counts, rows = _joined(self.names, scored)
        self.utterances = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
        heads = np.cumsum(counts) - counts
        nth = np.arange(rows.size) - heads[self.utterances]
        starts = nth * step if scored.starts is None else scored.starts[rows]
        lasts = starts[heads + counts - 1]
        step_of = np.full(counts.size, step)
        if scored.starts is not None:
            # The last frame is as long as those before it on the average.
            several = counts > 1
            step_of[several] = ((lasts - starts[heads]) // np.maximum(counts - 1, 1))[several]
        told = truth["duration"].to_numpy(np.int64)
        self.durations = np.where(told > 0, told, lasts + step_of)
        self.coverage = float((lasts + step_of).sum() / self.durations.sum())

        kept = (starts < self.durations[self.utterances]) | (nth == 0)
        starts = np.where(nth == 0, 0, starts)[kept]
        self.utterances, self.scores = self.utterances[kept], scored.scores[rows[kept]]
        self._begins = np.cumsum(self.durations) - self.durations
        self._total = int(self.durations.sum())
        self._starts = starts + self._begins[self.utterances]
        self._regions(truth)
        ends = np.append(self._starts[1:], self._total)
        self.spoof = self._fake_between(self._starts, ends)
        self.bonafide = ends - self._starts - self.spoof

    def _regions(self, truth: pd.DataFrame) -> None:
        """Put the fake parts on the axis."""
        flat = [np.asarray(row, dtype=np.int64).reshape(-1, 2) for row in truth["regions"]]
        self.n_regions = np.array([len(parts) for parts in flat], dtype=np.int64)
        owner = np.repeat(np.arange(len(flat)), self.n_regions)
        parts = np.concatenate(flat) if flat else np.zeros((0, 2), dtype=np.int64)
        late = parts[:, 0] >= self.durations[owner]
        if late.any():
            names = [self.names[i] for i in dict.fromkeys(owner[late].tolist())]
            raise MixframeError(named(names, "utterances have fake parts after their end"))
        parts = np.minimum(parts, self.durations[owner][:, None])
        lengths = parts[:, 1] - parts[:, 0]
        self.longest = np.zeros(len(flat), dtype=np.int64)
        np.maximum.at(self.longest, owner, lengths)
        self._edges = parts + self._begins[owner][:, None]
        self._passed = np.concatenate(([0], np.cumsum(lengths)))

    def _fake_between(self, starts: IntArray, ends: IntArray) -> IntArray:
        """Return the nanoseconds of fake speech in intervals of the axis, (n,)."""
        return self._fake_before(ends) - self._fake_before(starts)

    def _fake_before(self, times: IntArray) -> IntArray:
        if not len(self._edges):
            return np.zeros_like(times)
        begun = np.searchsorted(self._edges[:, 0], times, side="right")
        left = self._edges[np.maximum(begun - 1, 0), 1] - times
        return self._passed[begun] - np.where(begun > 0, np.maximum(left, 0), 0)

    @property
    def pieces(self) -> Pieces:
        """The speech of the frames, by duration: range-based and millisecond EER."""
        return Pieces(self.scores, self.bonafide, self.spoof, self.utterances)

    def pieces_of(self, inside: NDArray[np.bool_]) -> Pieces | None:
        """Return what `pieces` has of these utterances, (n,), which are numbered anew.

        None where they have no fake or no bona fide speech.
        """
        rows = inside[self.utterances]
        spoof, bonafide = self.spoof[rows], self.bonafide[rows]
        if not (spoof.any() and bonafide.any()):
            return None
        numbers = np.cumsum(inside) - 1
        return Pieces(self.scores[rows], bonafide, spoof, numbers[self.utterances[rows]])

    def segments(self, resolution: int) -> Segments:
        """Return the segments of `resolution` nanoseconds of every utterance.

        An utterance has as many as its duration holds, rounded to the nearest whole number (halves
        to the even one), and one at least; what is left over belongs to none.
        """
        n_segments = np.maximum(np.rint(self.durations / resolution).astype(np.int64), 1)
        owner = np.repeat(np.arange(n_segments.size, dtype=np.int32), n_segments)
        nth = np.arange(owner.size) - np.repeat(np.cumsum(n_segments) - n_segments, n_segments)
        starts = self._begins[owner] + nth * resolution
        ends = np.minimum(starts + resolution, (self._begins + self.durations)[owner])
        first = np.searchsorted(self._starts, starts, side="right") - 1
        last = np.searchsorted(self._starts, ends, side="left")
        scores = self.scores[first]
        if (last - first > 1).any():
            # Every second pair of borders is that of a segment; a last border may be the end.
            borders = np.column_stack((first, last)).ravel()
            padded = np.append(self.scores, np.inf)
            scores = np.minimum.reduceat(padded, borders)[::2]
        return Segments(scores, self._fake_between(starts, ends) > 0, owner)

    @property
    def lowest(self) -> FloatArray:
        """The lowest score of each utterance, (n,): one fake part makes it fake."""
        heads = np.flatnonzero(np.diff(self.utterances, prepend=-1))
        return np.minimum.reduceat(self.scores, heads)


def _joined(names: Sequence[str], scored: FrameScores) -> tuple[IntArray, IntArray]:
    """Return the number of frames of each name, and the rows of `scored` in the order of names."""
    place = {name: i for i, name in enumerate(scored.utterances)}
    known = set(names)
    for missing, what in (
        ([name for name in names if name not in place], "labelled utterances have no scores"),
        ([name for name in place if name not in known], "scored utterances have no labels"),
    ):
        if missing:
            raise MixframeError(f"scores and labels do not match: {named(missing, what)}")
    order = np.array([place[name] for name in names], dtype=np.int64)
    heads = np.cumsum(scored.counts) - scored.counts
    counts = scored.counts[order]
    shifts = heads[order] - (np.cumsum(counts) - counts)
    return counts, np.arange(int(counts.sum())) + np.repeat(shifts, counts)


def nanoseconds(seconds: float, what: str) -> int:
    """Return seconds as whole nanoseconds.

    Raises:
        MixframeError: not above 0.
    """
    if not 0 < seconds < 1e6:
        raise MixframeError(f"{what}: {seconds} s, expected seconds above 0")
    return round(seconds * SECOND)


def quarter(values: FloatArray) -> IntArray:
    """Return in which quarter of (n,) values each lies, (n,) from 0; equal ones together."""
    return np.searchsorted(np.quantile(values, QUARTERS, method="inverted_cdf"), values)
