"""What training is fed: batches that are pure functions of the step."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from mixframe.audio.io import AudioRef, Waveform
from mixframe.audio.io import read as read_audio
from mixframe.base.pools import ordered

if TYPE_CHECKING:
    from mixframe.models.backbone import Backbone

T = TypeVar("T")

CHUNK = 16
"""Batches read ahead at once where nothing is learnt; it bounds memory and changes no result."""


@dataclass(frozen=True)
class Batch:
    """A padded batch, or a slice of one.

    Attributes:
        waves: (B, N) float32, zero behind each utterance's end.
        lengths: (B,) int64 samples; they stay on the CPU, where masks and sizes come from, as a
            device would have to be waited for.
        targets: what the task learns; (B, ...) with utterances along the first axis.
        mask: (B, T) bool or None: which targets count.
    """

    waves: Tensor
    lengths: Tensor
    targets: Tensor
    mask: Tensor | None = None

    def slices(self, n: int) -> list["Batch"]:
        """Split into `n` equal parts, each cut to its own longest utterance."""
        size = len(self.lengths) // n
        parts = []
        for i in range(n):
            rows = slice(i * size, (i + 1) * size)
            lengths = self.lengths[rows]
            mask = None if self.mask is None else self.mask[rows]
            waves = self.waves[rows, : int(lengths.max())]
            parts.append(Batch(waves, lengths, self.targets[rows], mask))
        return parts

    def pinned(self) -> "Batch":
        """Copy to memory from which a GPU reads by itself."""
        mask = None if self.mask is None else self.mask.pin_memory()
        return Batch(self.waves.pin_memory(), self.lengths, self.targets.pin_memory(), mask)

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; pinned memory is copied while the CPU goes on."""
        waves, targets = (t.to(device, non_blocking=True) for t in (self.waves, self.targets))
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        return Batch(waves, self.lengths, targets, mask)


def normalise(wave: Tensor) -> Tensor:
    """Scale (n,) samples to zero mean and unit variance, as Wav2Vec2FeatureExtractor does."""
    return (wave - wave.mean()) / torch.sqrt(wave.var(unbiased=False) + 1e-7)


def pad(waves: Sequence[Waveform], backbone: "Backbone") -> tuple[Tensor, Tensor]:
    """Scale as the encoder wants and pad to one length.

    Returns:
        (B, N) float32 and (B,) int64 lengths.
    """
    tensors = [torch.from_numpy(w) for w in waves]
    if backbone.normalise:
        tensors = [normalise(w) for w in tensors]
    lengths = torch.tensor([len(w) for w in tensors])
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


def draws(n_items: int, n_draws: int, seed: int) -> np.ndarray:
    """Return (n_draws,) int64 item numbers: one random permutation of all items after another."""
    epochs = -(-n_draws // n_items)
    rngs = [np.random.default_rng([seed, epoch]) for epoch in range(epochs)]
    return np.concatenate([rng.permutation(n_items) for rng in rngs])[:n_draws]


def crop(n_samples: int, at_most: int, seed: int, draw: int) -> tuple[int, int]:
    """Return first sample and length of a random crop; it depends on the draw's number only."""
    length = min(n_samples, at_most)
    start = int(np.random.default_rng([seed, 1, draw]).integers(0, n_samples - length + 1))
    return start, length


def cached_reader(max_utterances: int) -> Callable[[AudioRef, int, int | None], Waveform]:
    """Return a reader that keeps the utterances it decoded as 16-bit samples.

    Small corpora are read many times over; keeping them saves the decoding. 0 keeps none, and
    then only the part asked for is decoded.
    """
    if max_utterances == 0:
        return read_audio

    @lru_cache(maxsize=max_utterances)
    def whole(ref: AudioRef) -> np.ndarray:
        return np.rint(read_audio(ref) * 32768).clip(-32768, 32767).astype(np.int16)

    def read(ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
        end = None if n_samples is None else start + n_samples
        return whole(ref)[start:end].astype(np.float32) / np.float32(32768)

    return read


def prefetch(
    make: Callable[[int], T], numbers: Sequence[int], workers: int, ahead: int = 4
) -> Iterator[T]:
    """Yield make(i) for each number, in order, some of them prepared ahead by threads.

    Threads are enough: decoding leaves Python's lock, and nothing has to be copied between
    processes. `make` must depend on its argument only.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from ordered(pool, make, numbers, ahead)


def length_batches(
    lengths: Sequence[int], size: int, equal: bool, most: float = math.inf
) -> list[list[int]]:
    """Group items of similar length, to pad little.

    Args:
        lengths: samples of each item.
        size: most items a group.
        equal: whether the items of a group must have the same length.
        most: samples of a group with its padding; an item that has more is alone.

    Returns:
        item numbers; each item is in one group.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    groups: list[list[int]] = []
    for item in order:
        last = groups[-1] if groups else []
        fits = len(last) < size and (len(last) + 1) * lengths[item] <= most
        if last and fits and (not equal or lengths[last[0]] == lengths[item]):
            last.append(item)
        else:
            groups.append([item])
    return groups
