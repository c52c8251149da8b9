"""Examples: the waveform, and below it what each localiser says of the frames.

The true regions are shaded in both.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.shown import visible
from mixframe.report.collect import Collected
from mixframe.report.draw import (
    MUTED,
    ORANGE,
    Drawing,
    Key,
    Line,
    localiser_lines,
    plain,
)
from mixframe.report.examples import Example

TRACK = (0.115, 0.965)
"""Left and right end of the time axis of an example, as shares of its width, so that the
page can lay a mark over it."""
ENVELOPE = 700
"""Steps in which a waveform is drawn, each from its lowest to its highest sample."""
CAPTION = """\
<b>What localisers see and you can hear.</b> Not picked by ear or eye: the spliced utterances of a
set ({sets}) are ranked by the AUC of their own frames with {localiser}, and examples are taken at
even steps from worst (0&nbsp;%) to best (100&nbsp;%), the median if there is one only. Each curve
is moved, in log odds, so that the threshold at the EER of the localiser's own <code>heldout</code>
frames lies at one half."""


def figure(data: Collected) -> Drawing:
    """Draw the examples of `data.localisation`."""
    if data.localisation is None:
        return drawing([], [])
    where = data.localisation
    sets = ", ".join(f"{n:,} in {name}" for name, n in where.candidates.items())
    caption = CAPTION.format(localiser=escape(visible(where.localiser)), sets=escape(visible(sets)))
    return drawing(where.examples, list(where.localisers), caption)


def drawing(examples: Sequence[Example], localisers: Sequence[str], caption: str = "") -> Drawing:
    """Draw a panel an example; `localisers` are the names of all."""
    lines = localiser_lines(localisers)
    panels = {
        f"Waveform and frame curves of {example.utterance} in {example.set}": partial(
            panel, example=example, lines=lines
        )
        for example in examples
    }
    return Drawing(
        frame_table(examples),
        panels,
        (4.1, 2.1),
        caption,
        note="No system has frame scores.",
        columns=2,
        legend=[
            Key("spliced in (truth)", Line(ORANGE), 0.3),
            *(Key(name, line) for name, line in lines.items()),
            Key("threshold", Line(MUTED, (4, 2))),
        ],
        constrained=False,
    )


def panel(canvas: FigureBase, example: Example, lines: Mapping[str, Line]) -> None:
    """Draw one example."""
    wave, curve = canvas.subplots(
        2,
        1,
        sharex=True,
        height_ratios=[2, 3],
        gridspec_kw={"left": TRACK[0], "right": TRACK[1], "top": 0.9, "bottom": 0.21},
    )
    _waveform(wave, example)
    for axis in (wave, curve):
        for start, end in example.regions:
            axis.axvspan(start, end, color=ORANGE, alpha=0.3, linewidth=0, zorder=0)
    curve.axhline(0.5, color=MUTED, linewidth=0.8, dashes=(4, 2))
    for name, values in example.curves.items():
        line = lines[name]
        curve.plot(
            example.times,
            values,
            color=line.colour,
            dashes=line.dashes or (None, None),
            linewidth=1.4,
        )
    curve.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel="P(injected)", xlabel="time, s")
    curve.grid(True, axis="y")
    curve.set_xlim(0, example.wave.size / SAMPLE_RATE)
    wave.set_title(plain(f"{example.set}: {example.utterance}"), fontsize=8, fontweight="normal")


def _waveform(axis: Axes, example: Example) -> None:
    steps = min(ENVELOPE, example.wave.size)
    edges = np.linspace(0, example.wave.size, steps, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(example.wave, edges), np.maximum.reduceat(example.wave, edges)
    axis.fill_between(edges / SAMPLE_RATE, low, high, color=MUTED, linewidth=0.3)
    peak = float(np.abs(example.wave).max()) * 1.05 or 1.0
    axis.set(ylim=(-peak, peak), yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False)


def frame_table(examples: Sequence[Example]) -> pd.DataFrame:
    """Return the frames of the examples, a row a frame and localiser."""
    columns = ["set", "utterance", "localiser", "time_s", "injected", "probability"]
    rows = [
        (e.set, e.utterance, name, time, any(s <= time < end for s, end in e.regions), value)
        for e in examples
        for name, curve in e.curves.items()
        for time, value in zip(e.times.tolist(), curve.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)
