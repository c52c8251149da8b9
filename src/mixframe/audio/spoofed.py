"""Which parts of utterances are spoofed, as a manifest tells it, and the frame labels of crops."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from mixframe.audio.frames import FrameGrid, Labels
from mixframe.audio.manifest import pairs
from mixframe.audio.splicing.rendering import Recipe, as_recorded

Part = tuple[int, int]
"""A half-open interval in samples."""


def spoofed_parts(table: pd.DataFrame) -> list[tuple[Part, ...]]:
    """Return the spoofed parts of each manifest row: its regions, or all of it without any.

    Bona fide utterances without regions have none.
    """
    rows = zip(table["regions"], table["label"], table["samples"], strict=True)
    return [
        ((0, int(samples)),) if label == "spoof" and len(flat) == 0 else tuple(pairs(flat))
        for flat, label, samples in rows
    ]


def whole_utterances(table: pd.DataFrame, at_most: int | None = None) -> list[Recipe]:
    """Return manifest rows as they are recorded, with `spoofed_parts` as their regions.

    Args:
        at_most: longer ones are cut to so many samples.
    """
    return [
        replace(recipe, regions=parts, n_samples=min(recipe.n_samples, at_most or recipe.n_samples))
        for recipe, parts in zip(as_recorded(table), spoofed_parts(table), strict=True)
    ]


def labels_of_crop(parts: Sequence[Part], start: int, n_samples: int, grid: FrameGrid) -> Labels:
    """Return the (T,) int8 frame labels of a crop, 1 = spoof, as `FrameGrid.labels` has them.

    Args:
        parts: spoofed parts of the whole utterance.
        start, n_samples: the crop.
    """
    cut = [(max(a - start, 0), min(b - start, n_samples)) for a, b in parts]
    return grid.labels([(a, b) for a, b in cut if a < b], n_samples)
