"""A recording drawn: waveform, spectrogram and frame curve, with the regions shaded in each."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixframe.bundle.analysis import Picture, Result
from mixframe.bundle.overview import Overview
from mixframe.report import draw

TRACK = (0.09, 0.985)
"""Left and right end of the time axis, as shares of the width."""

FLOOR_DB = 70.0
"""Of the spectrogram, below its loudest part."""

MOST_POINTS = 1500
"""Of the frame curve; of a longer one the highest value of each part is drawn."""


def draw_recording(result: Result, seen: Picture) -> Figure:
    """Draw a recording.

    The frame curve is the probability that a frame was spliced in, regions are where it is over
    one half for long enough; without a frame classifier there are two panels.
    """
    panels = 3 if seen.times.size else 2
    with draw.style():
        figure = Figure(figsize=(7.2, 0.7 + 1.1 * panels))
        axes = figure.subplots(
            panels,
            1,
            sharex=True,
            gridspec_kw={
                "left": TRACK[0],
                "right": TRACK[1],
                "top": 0.98,
                "bottom": 0.5 / (0.7 + 1.1 * panels),
                "hspace": 0.12,
            },
        )
        _waveform(axes[0], seen.overview)
        _spectrogram(axes[1], seen.overview)
        if panels == 3:
            _curve(axes[2], seen)
        for region in result.regions or []:
            for axis in axes:
                axis.axvspan(
                    region.start, region.end, color=draw.ORANGE, alpha=0.3, lw=0, zorder=0.5
                )
        axes[-1].set_xlabel("time, s")
        axes[0].set_xlim(0, seen.overview.seconds)
    return figure


def encoded(figure: Figure) -> dict[str, bytes]:
    """Return a figure as files, by suffix."""
    return {".png": draw.to_png(figure), ".svg": draw.to_svg(figure).encode()}


def _waveform(axis: Axes, overview: Overview) -> None:
    columns = overview.columns()
    times = np.linspace(0, overview.seconds, len(columns))
    axis.fill_between(times, columns[:, 0], columns[:, 1], color=draw.MUTED, linewidth=0.3)
    peak = float(np.abs(columns[:, :2]).max()) * 1.05 or 1.0
    axis.set(ylim=(-peak, peak), yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False)


def _spectrogram(axis: Axes, overview: Overview) -> None:
    power = overview.columns()[:, 2:].T
    level = 10 * np.log10(np.maximum(power, 1e-12))
    top = float(level.max())
    axis.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=(0, overview.seconds, 0, 8),
        cmap=draw.HEAT.get_cmap(),
        vmin=top - FLOOR_DB,
        vmax=top,
        interpolation="nearest",
    )
    axis.set(ylabel="kHz", yticks=[0, 4, 8])


def _curve(axis: Axes, seen: Picture) -> None:
    step = -(-seen.times.size // MOST_POINTS)
    starts = np.arange(0, seen.times.size, step)
    axis.axhline(0.5, color=draw.MUTED, linewidth=0.8, dashes=(4, 2))
    axis.plot(
        seen.times[starts], np.maximum.reduceat(seen.probability, starts), color=draw.BLUE, lw=1.2
    )
    axis.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel="P(spliced in)")
    axis.grid(True, axis="y")
