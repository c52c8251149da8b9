"""Trained systems as functions of waveforms as they are, through which gradients pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.models import backbone as backbones
from mixframe.models.detector import HEAD
from mixframe.models.localiser import Localiser, frame_classifier
from mixframe.training.adversarial.moves import padded
from mixframe.training.scoring import Scorer, Window, window
from mixframe.training.systems.lfcc import Lfcc, Mixture, load_mixtures, transform
from mixframe.training.systems.localiser import FrameSystem
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import System, Work

if TYPE_CHECKING:
    from mixframe.training.adversarial.attack import Listener


def listener(system: System, work: Work, folder: Path, device: torch.device) -> "Listener":
    """Load a trained system.

    Args:
        folder: where `Fitted.save` wrote it.
        device: where waveforms come from, and where it computes unless it is of kind lfcc.

    Raises:
        MixframeError: a file is missing or its weights do not fit; no gradient passes through a
            system of this kind.
    """
    if isinstance(system, Neural):
        detector = system.trained(work, folder, device)
        return hearing(detector, window(system, work.scoring))
    longest = int(work.scoring.max_seconds * SAMPLE_RATE)
    if isinstance(system, FrameSystem):
        assert work.start is not None, "starts_from names one"
        backbone = backbones.load(work.start, work.encoder)
        classifier = frame_classifier(folder / HEAD, "finetune", backbone.dim)
        localiser = Localiser(backbone, classifier, system.share).to(device).eval()
        return hearing(localiser, Window(work.scoring.batch, longest, tile=False))
    if isinstance(system, Lfcc):
        return likelihoods(system, load_mixtures(folder, system), longest)
    raise MixframeError(
        f"kind {system.kind}: no gradient passes through systems of this kind, so none is attacked"
    )


def hearing(detector: Scorer, heard: Window) -> "Listener":
    """Return a network with what comes before it: cut, repeated, scaled, padded."""

    def listen(waves: Sequence[Tensor]) -> Tensor:
        parts = [wave[: heard.samples] for wave in waves]
        if heard.tile:
            # As np.resize.
            parts = [p.repeat(-(-heard.samples // len(p)))[: heard.samples] for p in parts]
        return detector.score(*padded(parts, detector.backbone.normalise))

    return listen


class Spectrogram(nn.Module):
    """`training.features.PowerSpectrogram` as a product with cosines and sines."""

    def __init__(self, n_fft: int, hop: int) -> None:
        """`n_fft` and `hop` are window and step in samples."""
        super().__init__()
        self._hop = hop
        angles = np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) * 2 * np.pi / n_fft
        windowed = np.hanning(n_fft + 1)[:-1, None, None]
        bases = windowed * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._bases = torch.from_numpy(bases).float()  # (n_fft, 2, bins)

    def forward(self, wave: Tensor) -> Tensor:
        """Map (n,) samples to (n_fft // 2 + 1, frames) power."""
        windows = wave.unfold(0, len(self._bases), self._hop)
        parts = windows @ self._bases.flatten(1)
        return parts.unflatten(1, self._bases.shape[1:]).square().sum(1).T


def likelihoods(params: Lfcc, mixtures: dict[str, Mixture], longest: int) -> "Listener":
    """Return what `training.systems.lfcc` computes, to rounding.

    Args:
        longest: samples; longer utterances are cut to their first part.
    """

    def density(mixture: Mixture) -> MixtureSameFamily:
        weights, means, variances = map(torch.from_numpy, vars(mixture).values())
        return MixtureSameFamily(
            Categorical(weights), Independent(Normal(means, variances.sqrt()), 1)
        )

    bonafide, spoof = density(mixtures["bonafide"]), density(mixtures["spoof"])
    lfcc = transform(params)
    lfcc.Spectrogram = Spectrogram(params.n_fft, params.hop)

    def listen(waves: Sequence[Tensor]) -> Tensor:
        scores = []
        for wave in waves:
            static = lfcc(wave[:longest].cpu())
            first = torchaudio.functional.compute_deltas(static)
            second = torchaudio.functional.compute_deltas(first)
            frames = torch.cat([static, first, second]).T.double()
            scores.append((bonafide.log_prob(frames) - spoof.log_prob(frames)).mean())
        return torch.stack(scores).float().to(waves[0].device)

    return listen
