"""The classical row: LFCC statistics of an utterance under logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from sklearn.linear_model import LogisticRegression

from mixframe import metrics
from mixframe.audio import SAMPLE_RATE, AudioRef
from mixframe.params import Lfcc
from mixframe.progress import progress
from mixframe.splicing import Reader


def features(
    refs: Sequence[AudioRef], lengths: Sequence[int], params: Lfcc, read: Reader, what: str
) -> np.ndarray:
    """Return mean and deviation over time of LFCCs, their first and their second differences.

    Args:
        lengths: samples of each utterance that are used, from its start.

    Returns:
        (len(refs), 6 * n_lfcc) float64.
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
            every = torch.cat([static, first, second]).double()
            rows.append(torch.cat([every.mean(1), every.std(1, unbiased=False)]).numpy())
    return np.stack(rows)


@dataclass(frozen=True)
class LinearModel:
    """A linear classifier of standardised features.

    Attributes:
        centre, scale: (D,) of the training features.
        weight: (D,); `bias`: scalar. The score is the log-odds of bona fide.
    """

    centre: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: float

    def score(self, values: np.ndarray) -> np.ndarray:
        """Map (n, D) features to (n,) scores; higher = more bona fide."""
        return ((values - self.centre) / self.scale) @ self.weight + self.bias


def fit(
    train: np.ndarray,
    train_bonafide: np.ndarray,
    dev: np.ndarray,
    dev_bonafide: np.ndarray,
    params: Lfcc,
) -> tuple[LinearModel, list[dict[str, float]]]:
    """Fit one model for each regularisation and keep the one with the lowest dev EER.

    Args:
        train, dev: (n, D) features.
        train_bonafide, dev_bonafide: (n,) bool.

    Returns:
        the model, and one row a candidate: inverse_regularisation, dev_eer.
    """
    centre, scale = train.mean(0), train.std(0) + 1e-9
    rows, best = [], None
    for c in params.inverse_regularisation:
        fitted = LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
        fitted.fit((train - centre) / scale, train_bonafide)
        model = LinearModel(centre, scale, fitted.coef_[0], float(fitted.intercept_[0]))
        scores = model.score(dev)
        eer = metrics.eer(scores[dev_bonafide], scores[~dev_bonafide])
        rows.append({"inverse_regularisation": c, "dev_eer": eer})
        if best is None or eer < best[0]:
            best = (eer, model)
    assert best is not None
    return best[1], rows
