"""The classical row: Gaussian mixtures of LFCCs, the baseline of the ASVspoof challenges."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, AudioRef, Reader, read
from mixframe.base.errors import MixframeError
from mixframe.base.labels import LABELS
from mixframe.base.progress import is_main, progress
from mixframe.base.schema import AtLeast0, Positive
from mixframe.metrics import detection
from mixframe.training.systems.system import Fitted, Scorer, System, Work

if TYPE_CHECKING:
    from torchaudio.transforms import LFCC

MIXTURES = "model.safetensors"


class Lfcc(System):
    """Stage finetune, classical row: one Gaussian mixture of LFCCs a class.

    Attributes:
        n_filter, n_lfcc, n_fft, hop: of `torchaudio.transforms.LFCC`; n_fft and hop in samples.
        components: Gaussians a class.
        iterations: most steps of expectation maximisation.
        tolerance: gain in mean log-likelihood below which it stops.
        max_frames: frames a class on which it runs, drawn at random.
    """

    kind: Literal["lfcc"]
    n_filter: Positive
    n_lfcc: Positive
    n_fft: Positive
    hop: Positive
    components: Positive
    iterations: Positive
    tolerance: AtLeast0
    max_frames: Positive

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.n_lfcc > self.n_filter:
            raise ValueError(f"n_lfcc {self.n_lfcc} exceeds n_filter {self.n_filter}")
        if self.n_fft > SAMPLE_RATE:
            raise ValueError(f"n_fft {self.n_fft} is over a second, {SAMPLE_RATE} samples")
        if self.n_filter > self.n_fft // 2 + 1:
            raise ValueError(
                f"n_filter {self.n_filter} exceeds the {self.n_fft // 2 + 1} frequencies of n_fft "
                f"{self.n_fft}"
            )
        if self.max_frames < self.components:
            raise ValueError(
                f"max_frames {self.max_frames} are fewer than components {self.components}"
            )
        return self

    def fit(self, work: Work, table: pd.DataFrame, state: Path) -> Fitted | None:
        """See `System`; it is too quick to need a checkpoint."""
        if not is_main():
            return None
        refs, samples = manifest.refs(table), table["samples"].tolist()
        frames = features(refs, samples, self, work.scoring.max_seconds, read, work.what)
        dev = (table["set"] == "dev").to_numpy()
        mixtures = {}
        for label in LABELS:
            rows = np.flatnonzero(~dev & (table["label"] == label).to_numpy())
            mixtures[label] = fit_mixture([frames[i] for i in rows], self, work.seed)
        scores = log_ratios(mixtures, [frames[i] for i in np.flatnonzero(dev)])
        bonafide = (table.loc[dev, "label"] == "bonafide").to_numpy()
        dev_eer = detection.eer(scores[bonafide], scores[~bonafide])
        size = sum(v.size for m in mixtures.values() for v in vars(m).values())
        return Fitted(
            partial(save_mixtures, mixtures),
            scores,
            [{"components": self.components, "dev_eer": dev_eer}],
            {"parameters": {"trainable": size, "total": size}},
        )

    def scorer(self, work: Work, folder: Path) -> Scorer:
        """See `System`; the score is a log-likelihood ratio in nats a frame."""
        mixtures = load_mixtures(folder, self)

        def scorer(refs: Sequence[AudioRef], samples: Sequence[int], read: Reader) -> np.ndarray:
            longest = work.scoring.max_seconds
            return log_ratios(mixtures, features(refs, samples, self, longest, read, work.what))

        return scorer


def features(
    refs: Sequence[AudioRef],
    samples: Sequence[int],
    params: Lfcc,
    max_seconds: float,
    read: Reader,
    what: str = "",
) -> list[np.ndarray]:
    """Return LFCCs with first and second differences.

    Args:
        refs, samples: where each utterance is, and its length at 16 kHz.
        max_seconds: longer utterances are cut to their first part.
        what: title of the progress shown; none is shown without it.

    Returns:
        for each utterance (frames, 3 * n_lfcc) float32.
    """
    from mixframe.training.features import Cepstra

    cepstra = Cepstra(transform(params))
    longest = int(max_seconds * SAMPLE_RATE)
    heard = [(ref, min(n, longest)) for ref, n in zip(refs, samples, strict=True)]
    shown = progress(heard, len(heard), what, "utterances") if what else heard
    return [cepstra(read(ref, 0, length)) for ref, length in shown]


def transform(params: Lfcc) -> "LFCC":
    """Return torchaudio's transform of (n,) samples to LFCCs."""
    import torchaudio

    return torchaudio.transforms.LFCC(
        SAMPLE_RATE,
        n_filter=params.n_filter,
        n_lfcc=params.n_lfcc,
        speckwargs={"n_fft": params.n_fft, "hop_length": params.hop, "center": False},
    )


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


def fit_mixture(frames: Sequence[np.ndarray], params: Lfcc, seed: int) -> Mixture:
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


def log_ratios(mixtures: dict[str, Mixture], frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return (n,) mean log-likelihood ratios of bona fide to spoof, in nats a frame."""
    bonafide, spoof = mixtures["bonafide"], mixtures["spoof"]
    return np.array(
        [bonafide.log_likelihood(f) - spoof.log_likelihood(f) for f in frames], dtype=np.float64
    )


def save_mixtures(mixtures: dict[str, Mixture], folder: Path) -> None:
    """Write the mixtures of both classes as safetensors."""
    import torch

    from mixframe.base.tensors import save_tensors

    tensors = {
        f"{label}.{field}": torch.from_numpy(value)
        for label, mixture in mixtures.items()
        for field, value in vars(mixture).items()
    }
    save_tensors(tensors, folder / MIXTURES)


def load_mixtures(folder: Path, params: Lfcc) -> dict[str, Mixture]:
    """Read what `save_mixtures` wrote.

    Args:
        params: of the features.

    Raises:
        MixframeError: the file is missing, damaged, or holds no mixtures of such features.
    """
    from mixframe.base.tensors import load_tensors

    path = folder / MIXTURES
    tensors = load_tensors(path, "finetune")
    mixtures = {}
    for label in LABELS:
        fields = [tensors.get(f"{label}.{name}") for name in ("weights", "means", "variances")]
        arrays = [np.zeros(0) if one is None else one.double().numpy() for one in fields]
        shape = (arrays[0].size, 3 * params.n_lfcc)
        if [one.shape for one in arrays] != [shape[:1], shape, shape] or not arrays[0].size:
            raise MixframeError(
                f"{path}: no mixture of {label} over {shape[1]} features: weights, means and "
                f"variances have the shapes {', '.join(str(one.shape) for one in arrays)}"
            )
        mixtures[label] = Mixture(*arrays)
    return mixtures
