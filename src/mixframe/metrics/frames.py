"""Scores of frames, pooled over utterances."""

import numpy as np
import pandas as pd

from mixframe.metrics import detection


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
