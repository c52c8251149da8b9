"""A recording of any length in at most some hundred columns, to draw it."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mixframe.audio.io import SAMPLE_RATE, Waveform

HOP = SAMPLE_RATE // 100
WINDOW = 512
BANDS = 64
MOST = 1600
"""Columns; even, because two become one where they get too many."""

Columns = npt.NDArray[np.float32]
"""(n, 2 + BANDS): lowest and highest sample, and the mean power in each band up to 8 kHz."""


@dataclass
class Overview:
    """Envelope and spectrogram, gathered block by block.

    Attributes:
        hops: steps of 10 ms a column; it doubles when the columns get too many.
        samples: heard so far.
    """

    hops: int = 1
    samples: int = 0
    _columns: Columns = field(default_factory=lambda: np.zeros((0, 2 + BANDS), np.float32))
    _waiting: Columns = field(default_factory=lambda: np.zeros((0, 2 + BANDS), np.float32))
    _tail: Waveform = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, block: Waveform) -> None:
        """Take the next (n,) samples at 16 kHz into account."""
        self.samples += block.size
        samples = np.concatenate([self._tail, block])
        n = max(0, (samples.size - WINDOW) // HOP + 1)
        self._tail = samples[n * HOP :]
        if n:
            self._waiting = np.concatenate([self._waiting, _steps(samples, n)])
        while len(self._waiting) >= self.hops:
            room = MOST - len(self._columns)
            n = min(room, len(self._waiting) // self.hops)
            made = _joined(self._waiting[: n * self.hops], self.hops)
            self._waiting = self._waiting[n * self.hops :]
            self._columns = np.concatenate([self._columns, made])
            if len(self._columns) == MOST:
                self._columns = _joined(self._columns, 2)
                self.hops *= 2

    def columns(self) -> Columns:
        """Return what was gathered, (n, 2 + BANDS) with n > 0."""
        parts = [self._columns]
        rest = self._waiting
        if self._tail.size and self.samples < WINDOW:
            rest = np.concatenate([rest, _steps(np.resize(self._tail, WINDOW), 1)])
        if len(rest):
            parts.append(_joined(rest, len(rest)))
        return np.concatenate(parts)

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / SAMPLE_RATE


def _steps(samples: Waveform, n: int) -> Columns:
    """Return columns of one hop each."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:n]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32))))
    bands = power[:, 1:].reshape(n, BANDS, -1).mean(axis=2)
    low, high = frames[:, :HOP].min(axis=1), frames[:, :HOP].max(axis=1)
    return np.concatenate([low[:, None], high[:, None], bands], axis=1).astype(np.float32)


def _joined(columns: Columns, n: int) -> Columns:
    """Make one column of n, n of them at a time."""
    groups = columns.reshape(-1, n, columns.shape[1])
    low, high = groups[:, :, 0].min(axis=1), groups[:, :, 1].max(axis=1)
    return np.concatenate([low[:, None], high[:, None], groups[:, :, 2:].mean(axis=1)], axis=1)
