"""What every kind of system is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.io import AudioRef, Reader, read
from mixframe.base.compute import Compute
from mixframe.base.schema import Section
from mixframe.models.params import Encoder
from mixframe.training.params import Score

Scorer = Callable[[Sequence[AudioRef], Sequence[int], Reader], np.ndarray]
"""A trained system in memory.

It takes where utterances are, their lengths in samples at 16 kHz and how they are read, and returns
(n,) float64 scores in that order; higher = more bona fide."""


@dataclass(frozen=True)
class Work:
    """What training and scoring depend on besides the system's own section.

    Attributes:
        start: folder of the encoder that the system starts from; None where it has none.
        encoder: how that is used.
        scoring: how utterances are scored.
        compute: where and how wide to compute; it changes no result.
        seed: of weights, crops and everything else that is random.
        what: title of the progress shown.
    """

    start: Path | None
    encoder: Encoder
    scoring: Score
    compute: Compute
    seed: int
    what: str


@dataclass(frozen=True)
class Fitted:
    """What training leaves.

    Attributes:
        save: writes the files that scoring needs into a folder.
        dev_scores: (n,) float64 scores of the rows of the dev set; higher = more bona fide.
        curve: the training curve, one dict a validation.
        card: what card.json says of the system besides its files.
    """

    save: Callable[[Path], None]
    dev_scores: np.ndarray
    curve: list[dict[str, float]]
    card: dict[str, Any]


class System(Section):
    """A section of a preset that describes a system."""

    kind: str

    @property
    def starts_from(self) -> str | None:
        """The encoder: random, foundation, or a key of posttrain; None for no encoder."""
        return None

    @property
    def learns_from(self) -> list[str]:
        """Sets of the manifest on which the system is trained."""
        return ["train"]

    @property
    def votes_for_frames(self) -> bool:
        """Whether the system can tell which frames its head chose."""
        return False

    def fit(self, work: Work, table: pd.DataFrame, state: Path) -> Fitted | None:
        """Train on the sets of a manifest that it learns from, select on its set dev.

        Args:
            table: rows of these sets.
            state: file of the checkpoint from which a killed run goes on.

        Returns:
            what the first of several processes writes; None in the others.

        Raises:
            MixframeError: training diverges.
        """
        raise NotImplementedError

    def scorer(self, work: Work, folder: Path) -> Scorer:
        """Load what `Fitted.save` left in a folder.

        Raises:
            MixframeError: a file is missing or its weights do not fit this system.
        """
        raise NotImplementedError

    def score(self, work: Work, folder: Path, rows: pd.DataFrame) -> np.ndarray:
        """Score manifest rows with what `Fitted.save` left in a folder.

        Returns:
            (len(rows),) float64 in their order; higher = more bona fide.
        """
        scorer = self.scorer(work, folder)
        return scorer(manifest.refs(rows), rows["samples"].tolist(), read)
