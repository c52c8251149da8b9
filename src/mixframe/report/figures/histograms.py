"""Scores of both classes, a panel a system and in it a row a set, on one axis."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from mixframe.report.collect import Collected
from mixframe.report.draw import BLUE, INK, ORANGE, PANEL, Drawing, Key, Line, plain

CAPTION = """\
<b>Scores of both classes</b>, each class scaled to the same area; all sets of a system share
one axis, so a threshold that moves between sets shows that one fixed threshold would not do.
The outermost bins hold the few scores beyond them."""


def figure(data: Collected) -> Drawing:
    """Draw `data.histograms`, with the thresholds of `data.results`."""
    counts, results = data.histograms, data.results
    panels = {
        f"Score histograms of {system}": partial(
            panel,
            title=system,
            counts=counts[counts["system"] == system],
            results=results[results["system"] == system],
            sets=data.grid.set,
        )
        for system in data.grid.system
    }
    legend = [
        Key("bona fide", Line(BLUE), 0.55),
        Key("spoof", Line(ORANGE), 0.55),
        Key("threshold at the EER", Line(INK)),
    ]
    size = PANEL, 0.52 * len(data.grid.set) + 0.75
    return Drawing(counts, panels, size, CAPTION, legend=legend)


def panel(
    canvas: FigureBase,
    title: str,
    counts: pd.DataFrame,
    results: pd.DataFrame,
    sets: Sequence[str],
) -> None:
    """Draw one system.

    Args:
        counts: set, left, right, bonafide, spoof.
        results: set, eer, eer_threshold.
    """
    axes = canvas.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, sets, strict=True):
        rows = counts[counts["set"] == name]
        edges = np.append(rows["left"], rows["right"].iloc[-1])
        for label, colour in (("bonafide", BLUE), ("spoof", ORANGE)):
            heights = rows[label] / rows[label].sum()
            axis.stairs(heights, edges, fill=True, color=colour, alpha=0.55, linewidth=0)
            axis.stairs(heights, edges, color=colour, linewidth=0.9)
        row = results[results["set"] == name].iloc[0]
        at = np.clip(row["eer_threshold"], edges[0], edges[-1])
        axis.axvline(at, ymax=0.8, color=INK, linewidth=1)
        axis.set(yticks=[], xlim=(edges[0], edges[-1]), ylim=(0, axis.get_ylim()[1] * 1.35))
        axis.spines["left"].set_visible(False)
        axis.text(0, 1, plain(name), transform=axis.transAxes, va="top", fontsize=8)
        percent = f"EER {100 * row['eer']:.2f} %"
        axis.text(1, 1, percent, transform=axis.transAxes, va="top", ha="right", fontsize=8)
        axis.tick_params(labelbottom=axis is axes[-1])
        axis.xaxis.set_major_locator(MaxNLocator(6))
    axes[0].set_title(plain(title))
    axes[-1].set_xlabel("score, higher = more bona fide")
