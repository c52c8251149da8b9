"""Recordings of any length in windows that a detector can hear, and back to one timeline."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mixframe.audio.io import Waveform
from mixframe.metrics.segments import segments


def cut(blocks: Iterable[Waveform], length: int, hop: int = 1) -> Iterator[tuple[int, Waveform]]:
    """Cut a recording into windows; where they lie depends on its length alone.

    A recording of at most `length` samples is one window. In a longer one, windows of `length`
    samples overlap by half. The last one ends with the recording; all begin at multiples of `hop`,
    for which it may be shorter by up to hop - 1 samples.

    Args:
        blocks: (n,) samples each, in order.
        length: at least 2 * hop.
        hop: samples between the frames of the detector.

    Yields:
        the number of the first sample, and the (n,) samples.
    """
    step = length // 2 // hop * hop
    start, buffer = 0, np.zeros(0, np.float32)
    before = buffer
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while buffer.size > length:
            before = buffer[:length]
            yield start, before
            start, buffer = start + step, buffer[step:]
    if start:
        # As long as the others, as far as the hop allows: begin in the window before.
        back = (length - buffer.size) // hop * hop
        start, buffer = start - back, np.concatenate([before[step - back : step], buffer])
    yield start, buffer


@dataclass
class Timeline:
    """Frame logits of overlapping windows, put together.

    Where windows overlap, logits are averaged; a frame counts the more the further it is from the
    ends of its window, where the encoder knows only one side.

    Attributes:
        hop: samples between frames.
    """

    hop: int
    _sum: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _weight: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, start: int, logits: npt.NDArray[np.floating]) -> None:
        """Add the (T,) logits of a window that begins at sample `start`, a multiple of hop."""
        first = start // self.hop
        places = slice(first, first + logits.size)
        missing = max(0, places.stop - self._sum.size)
        self._sum = np.pad(self._sum, (0, missing))
        self._weight = np.pad(self._weight, (0, missing))
        weight = np.minimum(np.arange(logits.size), np.arange(logits.size)[::-1]) + 1.0
        self._sum[places] += weight * logits
        self._weight[places] += weight

    def logits(self) -> npt.NDArray[np.float64]:
        """Return the (T,) logits of the whole recording."""
        return self._sum / self._weight


def regions(
    evidence: npt.NDArray[np.floating],
    times: npt.NDArray[np.float64],
    threshold: float,
    min_seconds: float,
    seconds: float,
) -> list[tuple[float, float, float]]:
    """Return the runs of frames that count as injected.

    Args:
        evidence: (T,); higher = more likely injected.
        times: (T, 2) seconds, from where to where each frame counts.
        threshold: the evidence from which a frame counts.
        min_seconds: shorter runs are left out.
        seconds: of the recording; at its ends a region reaches them.

    Returns:
        start and end in seconds and the mean evidence of each, in order.
    """
    kept = []
    for first, last in segments(evidence >= threshold):
        start = 0.0 if first == 0 else float(times[first, 0])
        end = seconds if last == len(evidence) else min(seconds, float(times[last - 1, 1]))
        if end - start >= min_seconds - 1e-9:
            kept.append((start, end, float(evidence[first:last].mean())))
    return kept
