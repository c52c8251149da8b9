"""How alike the frames of spliced utterances are, before and after post-training."""

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.report.collect import Collected
from mixframe.report.draw import ORANGE, Drawing, Key, Line, plain

TITLE = "Frames of splices before and after post-training"
CAPTION = """\
<b>Cosine similarity between the frames of held-out splices</b> in the encoder's last layer, a row
and a column a frame: the darker, the more alike; the scale is each panel's own, from its 2nd to its
98th percentile, which stand below it."""
LIMITS = (2, 98)
"""Percentiles of the similarities that the shades of a panel run from and to."""


def figure(data: Collected) -> Drawing:
    """Draw `data.similarities`."""
    return drawing(data.similarities)


def drawing(similarities: pd.DataFrame) -> Drawing:
    """Draw a panel a splice and encoder.

    Args:
        similarities: encoder, splice, utterance, labels (T,) with 1 = injected, similarity
            (T * T,).
    """
    panels = {
        f"Frames of splice {row.splice} ({row.utterance}), encoder {row.encoder}": partial(
            panel,
            title=plain(f"{row.encoder}\n{row.utterance}"),
            labels=np.asarray(row.labels),
            matrix=np.reshape(row.similarity, (len(row.labels), -1)),
        )
        for _, rows in similarities.groupby("splice")
        for row in rows.itertuples()
    }
    return Drawing(
        contrast(similarities),
        panels,
        (2.6, 3.0),
        CAPTION,
        title=TITLE if panels else "",
        note="No encoder was post-trained.",
        columns=max(1, similarities["encoder"].nunique()),
        legend=[Key("spliced in (truth)", Line(ORANGE), 1.0)],
    )


def panel(canvas: FigureBase, title: str, labels: np.ndarray, matrix: np.ndarray) -> None:
    """Draw a (T, T) matrix with the regions of its (T,) labels along its upper and left edge."""
    axis = canvas.subplots()
    low, high = np.percentile(matrix, LIMITS)
    n_frames = len(labels)
    extent = (0, n_frames, n_frames, 0)
    axis.imshow(matrix, cmap="Greys", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    band = 0.05 * n_frames
    for start, end in regions(labels):
        axis.fill_between([start, end], -band, 0, color=ORANGE, linewidth=0)
        axis.fill_betweenx([start, end], -band, 0, color=ORANGE, linewidth=0)
        for edge in (start, end):
            axis.axhline(edge, color=ORANGE, linewidth=0.6)
            axis.axvline(edge, color=ORANGE, linewidth=0.6)
    axis.set(xlim=(-band, n_frames), ylim=(n_frames, -band))
    axis.set_xlabel(f"frame; cosine {low:.2f} to {high:.2f}".replace("-", "\N{MINUS SIGN}"))
    axis.set_title(title, fontsize=7.5, fontweight="normal")
    axis.spines[["left", "bottom"]].set_visible(False)


def regions(labels: np.ndarray) -> list[tuple[int, int]]:
    """Return the half-open intervals of frames that are 1."""
    edges = np.flatnonzero(np.diff(labels, prepend=0, append=0)).tolist()
    return [(start, end) for start, end in list(pairwise(edges))[::2]]


def contrast(similarities: pd.DataFrame) -> pd.DataFrame:
    """Return the mean similarity of two frames by what they are.

    Returns:
        encoder, splice, utterance, original (both not injected), injected (both are) and across
        (one is). A frame is not held against itself; NaN where there are no such two.
    """
    rows = []
    for row in similarities.itertuples():
        inside = np.asarray(row.labels) == 1
        matrix = np.reshape(row.similarity, (len(inside), -1)).astype(np.float64)
        np.fill_diagonal(matrix, np.nan)
        means = [
            np.nan if np.isnan(block).all() else float(np.nanmean(block))
            for block in (
                matrix[~inside][:, ~inside],
                matrix[inside][:, inside],
                matrix[inside][:, ~inside],
            )
        ]
        rows.append((row.encoder, row.splice, row.utterance, *means))
    columns = ["encoder", "splice", "utterance", "original", "injected", "across"]
    return pd.DataFrame(rows, columns=columns)
