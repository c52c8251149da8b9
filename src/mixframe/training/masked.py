"""HuBERT-style masked prediction (Hsu et al., 2021), first iteration: clusters of MFCCs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torchaudio
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn

from mixframe.audio.io import SAMPLE_RATE, AudioRef, Reader
from mixframe.models.backbone import Backbone, padding_mask
from mixframe.training.data import Batch, crop, draws, pad
from mixframe.training.features import Cepstra
from mixframe.training.loop import Validation
from mixframe.training.params import Masking, Scratch, Targets
from mixframe.training.runner import Runner

PADDING = -100
"""Target of a frame behind an utterance's end."""


class Clusters:
    """Frame targets: the nearest k-means centre of MFCCs with first and second differences."""

    def __init__(self, params: Targets, hop: int) -> None:
        """`hop` is the encoder's, in samples, so that targets and frames align."""
        #: Maps (n,) samples to (T, 3 * n_mfcc) features.
        self.features = Cepstra(
            torchaudio.transforms.MFCC(
                SAMPLE_RATE,
                params.n_mfcc,
                melkwargs={
                    "n_fft": params.n_fft,
                    "hop_length": hop,
                    "n_mels": params.n_mels,
                    "center": False,
                },
            )
        )
        self._params = params
        self._means = MiniBatchKMeans(params.clusters, batch_size=4096, n_init=3)

    def fit(self, features: Sequence[np.ndarray], seed: int) -> None:
        """Fit on a random sample of the frames of (T, D) features."""
        frames = np.concatenate(features)
        rng = np.random.default_rng(seed)
        n_sample = min(len(frames), self._params.cluster_frames)
        sample = frames[rng.choice(len(frames), n_sample, replace=False)]
        self._centre, self._scale = sample.mean(0), sample.std(0) + 1e-6
        self._means.set_params(random_state=seed)
        self._means.fit((sample - self._centre) / self._scale)

    def targets(self, features: np.ndarray) -> np.ndarray:
        """Map (T, D) features to (T,) int64 cluster numbers."""
        return self._means.predict((features - self._centre) / self._scale).astype(np.int64)


def masked_frames(n_frames: int, params: Masking, rng: np.random.Generator) -> np.ndarray:
    """Draw which frames are masked: each frame starts a span with `probability`; at least one does.

    Returns:
        (n_frames,) bool.
    """
    starts = np.flatnonzero(rng.random(n_frames) < params.probability)
    if not len(starts):
        starts = rng.integers(0, n_frames, 1)
    mask = np.zeros(n_frames, dtype=bool)
    for start in starts:
        mask[start : start + params.length] = True
    return mask


class MaskedPrediction(nn.Module):
    """An encoder with a linear layer that names the cluster of each frame."""

    def __init__(self, backbone: Backbone, clusters: int) -> None:
        """`clusters` is the number of targets."""
        super().__init__()
        self.encoder = backbone.model
        self.classify = nn.Linear(backbone.dim, clusters)

    def forward(self, waves: Tensor, attention: Tensor | None, masked: Tensor) -> Tensor:
        """Map (B, N) waveforms, (B, N) attention and (B, T) masked to (B, T, clusters) logits.

        Args:
            attention: see `mixframe.models.backbone.padding_mask`.
        """
        out = self.encoder(waves, attention_mask=attention, mask_time_indices=masked)
        return self.classify(out.last_hidden_state)


@dataclass(frozen=True)
class Utterances:
    """What masked prediction learns from.

    Attributes:
        refs: where each utterance is.
        samples: its length.
        targets: (T,) int64 cluster of each of its frames.
    """

    refs: list[AudioRef]
    samples: list[int]
    targets: list[np.ndarray]


class MaskedTask:
    """The task of stage pretrain; see `mixframe.training.loop.Task`."""

    def __init__(
        self,
        model: MaskedPrediction,
        backbone: Backbone,
        params: Scratch,
        read: Reader,
        train: Utterances,
        dev: Utterances,
        seed: int,
    ) -> None:
        """Train on crops of `train`; judge on crops of `dev` that are the same every time."""
        self.model = model
        self._backbone, self._params, self._read, self._seed = backbone, params, read, seed
        self._train, self._dev = train, dev
        n_draws = params.train.steps * params.train.batch
        self._order = draws(len(train.refs), n_draws, seed)

    @property
    def _longest(self) -> int:
        """Most samples of a crop, all of which lie in its frames."""
        grid = self._backbone.grid
        return grid.n_samples(grid.n_frames(int(self._params.crop_seconds * SAMPLE_RATE)))

    def samples(self, draw: int) -> int:
        """See `mixframe.training.loop.Task`."""
        return min(self._train.samples[self._order[draw]], self._longest)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return the crops of some draws, their cluster targets and which frames are masked."""
        return self._batch(self._train, [(int(self._order[n]), n) for n in numbers], self._seed)

    def _batch(
        self,
        source: Utterances,
        drawn: list[tuple[int, int]],
        seed: int,
    ) -> Batch:
        """Return crops of utterances, each drawn by its number and the number of the draw."""
        grid = self._backbone.grid
        waves, wanted, masks = [], [], []
        for item, draw in drawn:
            # Crops start on a frame, so that the targets of the whole utterance stay right.
            start, length = crop(source.samples[item], self._longest, seed, draw)
            start -= start % grid.hop
            waves.append(self._read(source.refs[item], start, length))
            n_frames, first = grid.n_frames(length), start // grid.hop
            rng = np.random.default_rng([seed, 2, draw])
            wanted.append(torch.from_numpy(source.targets[item][first : first + n_frames]))
            masks.append(torch.from_numpy(masked_frames(n_frames, self._params.masking, rng)))
        padded, lengths = pad(waves, self._backbone)
        stack = torch.nn.utils.rnn.pad_sequence
        return Batch(
            padded, lengths, stack(wanted, batch_first=True), stack(masks, batch_first=True)
        )

    def weight(self, batch: Batch) -> float:
        """Return the summed weights of all frames."""
        return float(self._weights(batch).sum())

    def _weights(self, part: Batch) -> Tensor:
        """Return (B, T) weights: alpha if masked, 1 - alpha if not, 0 for padding."""
        assert part.mask is not None
        alpha = self._params.masking.alpha
        weights = torch.where(part.mask, alpha, 1 - alpha)
        return weights * (part.targets != PADDING)

    def _losses(self, part: Batch) -> tuple[Batch, Tensor, Tensor]:
        """Return the slice cut to its own frames, logits (B, T, C) and cross-entropies (B, T)."""
        assert part.mask is not None
        n_frames = self._backbone.grid.n_frames(part.waves.shape[1])
        part = replace(part, targets=part.targets[:, :n_frames], mask=part.mask[:, :n_frames])
        attention = padding_mask(self._backbone, part.waves, part.lengths)
        logits = self.model(part.waves, attention, part.mask).float()
        losses = nn.functional.cross_entropy(
            logits.transpose(1, 2), part.targets, ignore_index=PADDING, reduction="none"
        )
        return part, logits, losses

    def loss(self, part: Batch) -> Tensor:
        """Return the summed weighted cross-entropy (Hsu et al., 2021, eq. 3)."""
        part, _, losses = self._losses(part)
        return (losses * self._weights(part)).sum()

    def validate(self, run: Runner) -> Validation:
        """Return loss and accuracy on masked frames of the dev utterances."""
        size = self._params.train.batch // self._params.train.slices
        items = list(range(len(self._dev.refs)))
        batches = [
            self._batch(self._dev, [(i, i) for i in items[at : at + size]], self._seed + 1)
            for at in range(0, len(items), size)
        ]

        def figures(part: Batch) -> Tensor:
            part, logits, losses = self._losses(part)
            hits = (logits.argmax(-1) == part.targets)[part.mask]
            sums = [losses[part.mask].double().sum(), hits.sum(), hits.numel()]
            return torch.tensor(sums, dtype=torch.float64)

        mine = batches[run.world.index :: run.world.count]
        sums = torch.stack([torch.zeros(3, dtype=torch.float64), *run.infer(figures, mine)])
        loss, hits, n = run.world.add(sums.sum(0).numpy(), run.device).tolist()
        return Validation((loss / n,), {"dev_loss": loss / n, "dev_accuracy": hits / n})
