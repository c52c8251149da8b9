"""The classical row: Gaussian mixtures of LFCCs, the baseline of the ASVspoof challenges."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio

from mixframe.audio.io import SAMPLE_RATE, AudioRef, Reader
from mixframe.base.progress import progress
from mixframe.models.params import Lfcc


def features(
    refs: Sequence[AudioRef], lengths: Sequence[int], params: Lfcc, read: Reader, what: str
) -> list[np.ndarray]:
    """Return LFCCs with first and second differences.

    Args:
        lengths: samples of each utterance that are used, from its start.

    Returns:
        for each utterance (frames, 3 * n_lfcc) float32.
    """
    transform = torchaudio.transforms.LFCC(
        SAMPLE_RATE,
        n_filter=params.n_filter,
        n_lfcc=params.n_lfcc,
        speckwargs={"n_fft": params.n_fft, "hop_length": params.hop, "center": False},
    )
    rows = []
    with torch.no_grad():
        for ref, length in progress(
            list(zip(refs, lengths, strict=True)), len(refs), what, "utterances"
        ):
            static = transform(torch.from_numpy(read(ref, 0, length)))
            first = torchaudio.functional.compute_deltas(static)
            second = torchaudio.functional.compute_deltas(first)
            rows.append(torch.cat([static, first, second]).T.numpy())
    return rows


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians with diagonal covariances over D features.

    Attributes:
        weights: (K,) summing to 1.
        means, variances: (K, D).
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def log_likelihood(self, frames: np.ndarray) -> float:
        """Return the mean natural log-likelihood of (n, D) frames."""
        precision = 1 / self.variances
        constant = (
            np.log(self.weights)
            - 0.5 * np.log(2 * np.pi * self.variances).sum(1)
            - 0.5 * (np.square(self.means) * precision).sum(1)
        )
        each = frames @ (self.means * precision).T - 0.5 * np.square(frames) @ precision.T
        return float(np.logaddexp.reduce(each + constant, axis=1).mean())


def fit(frames: Sequence[np.ndarray], params: Lfcc, seed: int) -> Mixture:
    """Fit a mixture to the frames of one class.

    Args:
        frames: (n_i, D) of each utterance; at most params.max_frames of them are drawn at random.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    everything = np.concatenate(frames).astype(np.float64)
    rng = np.random.default_rng(seed)
    n_drawn = min(len(everything), params.max_frames)
    drawn = everything[rng.choice(len(everything), n_drawn, replace=False)]
    model = GaussianMixture(
        params.components,
        covariance_type="diag",
        max_iter=params.iterations,
        tol=params.tolerance,
        random_state=seed,
        init_params="k-means++",
    )
    with warnings.catch_warnings():
        # The number of iterations is a parameter; using all of them is no accident.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(drawn)
    return Mixture(model.weights_, model.means_, model.covariances_)


def score(bonafide: Mixture, spoof: Mixture, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return (n,) mean log-likelihood ratios of bona fide to spoof, in nats a frame."""
    return np.array(
        [bonafide.log_likelihood(f) - spoof.log_likelihood(f) for f in frames], dtype=np.float64
    )
