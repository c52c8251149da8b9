"""Scores of frames: read, and pooled over utterances."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixframe.base.errors import MixframeError
from mixframe.metrics import detection

if TYPE_CHECKING:
    from mixframe.base.tables import Columns

COLUMNS: "Columns" = {"set": "text", "utterance": "text", "labels": "ints", "scores": "numbers"}


def read_frames(path: Path, made_by: str = "posttrain") -> pd.DataFrame:
    """Read the scores of frames that a stage wrote, `made_by`.

    Returns:
        a row an utterance: set, utterance, labels (1 = injected), scores (higher = not injected).

    Raises:
        MixframeError: the file is missing, or no such table; an utterance has not as many labels as
            scores, or a score is not finite.
    """
    # pyarrow only where a table is read.
    from mixframe.base.tables import read_parquet

    table = read_parquet(path, COLUMNS, made_by)
    for name, labels, scores in zip(
        table["utterance"], table["labels"], table["scores"], strict=True
    ):
        if len(labels) != len(scores) or not np.isfinite(scores).all():
            raise MixframeError(
                f"{path}: {name}: {len(labels)} labels and {len(scores)} scores; expected as many "
                "of both, all finite"
            )
    return table


def frame_classes(frames: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the frames that are not injected, and of those that are.

    Args:
        frames: labels (1 = injected) and scores (higher = not injected) of each utterance.
    """
    labels = np.concatenate(frames["labels"].to_numpy())
    scores = np.concatenate(frames["scores"].to_numpy()).astype(np.float64)
    return scores[labels == 0], scores[labels == 1]


def frame_threshold(heldout: pd.DataFrame) -> float:
    """Return the score at the EER of held-out splices; frames at or below it count as injected."""
    return detection.eer_threshold(*frame_classes(heldout))
