"""The figures of the report, each a function from tables to a matplotlib figure.

Nothing here reads a file. Every figure can be drawn whole, as the files show it, or for a part of
its data, as the page shows it panel by panel so that a phone can stack them.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from math import ceil

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm, to_hex, to_rgba
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from scipy.special import ndtri

from mixframe.audio.io import SAMPLE_RATE
from mixframe.experiment.params import Grid
from mixframe.report.collect import Example
from mixframe.report.pipeline import Pipeline, layout

INK, MUTED, RULE = "#1f2328", "#6e7781", "#d8dee4"
BLUE, ORANGE, GREEN, VERMILLION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE = "#56b4e9", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, INK)
DASHES = {
    "posttrained": ((), (6, 1, 1, 1, 1, 1)),
    "borrowing": ((), (6, 1, 1, 1, 1, 1)),
    "foundation": ((4, 1.5), (8, 1.5, 2, 1.5)),
    "classical": ((1, 1.2), (1, 2.4)),
}
"""Dash patterns by where a system's encoder comes from; the second where colours run out."""

PANEL = 3.45
"""Width of a panel in inches: at 96 pixels an inch it fits a phone unscaled."""
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
"""Percentages on a DET axis,"""
FEW_TICKS = (0.1, 0.5, 2, 5, 10, 20, 40, 60, 80, 90, 95)
"""and those on one of more than `WIDE` probits."""
WIDE = 3.6
ENVELOPE = 700
"""Steps in which a waveform is drawn, each from its lowest to its highest sample."""

HEAT = ScalarMappable(
    PowerNorm(0.5, 0, 0.5, clip=True),
    LinearSegmentedColormap.from_list(
        "heat", ["#f6f8fa", "#cfe3f1", "#7fb8dc", "#2f86bf", "#0b5a92", "#08365a"]
    ),
)
"""Error rates in colour, by their square root: 1 % and 4 % differ more than 41 and 44."""
LEAK = ScalarMappable(
    Normalize(0.2, 0.5, clip=True),
    LinearSegmentedColormap.from_list(
        "leak", ["#a84a00", "#d55e00", "#f0a868", "#fbe6d2", "#f6f8fa"]
    ),
)
"""The same for statistics that should be at 50 %: the further below, the darker."""

FIGURE_LABELS = {
    "loss": "training loss",
    "dev_loss": "loss on dev",
    "dev_accuracy": "accuracy on dev, %",
    "frame_eer": "frame EER on held-out, %",
    "dev_eer": "EER on dev, %",
    "dev_cllr": "Cllr on dev, bits",
}
AXIS_LABELS = {"step": "step", "inverse_regularisation": "inverse regularisation C"}
RATES = ("frame_eer", "dev_eer", "dev_accuracy")


@contextmanager
def style(text: bool = False) -> Iterator[None]:
    """Set every drawing default, so that no matplotlibrc changes a byte.

    Args:
        text: write the text of an SVG as text, which takes the font of the page; as outlines
            otherwise.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 8.5,
                "axes.titlesize": 9.5,
                "axes.titleweight": "bold",
                "axes.titlelocation": "left",
                "axes.labelsize": 8.5,
                "xtick.labelsize": 8,
                "ytick.labelsize": 8,
                "legend.fontsize": 8.5,
                "legend.frameon": False,
                "text.color": INK,
                "axes.titlecolor": INK,
                "axes.labelcolor": INK,
                "axes.edgecolor": MUTED,
                "axes.linewidth": 0.7,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "xtick.color": MUTED,
                "ytick.color": MUTED,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "xtick.major.size": 3,
                "ytick.major.size": 3,
                "grid.color": RULE,
                "grid.linewidth": 0.6,
                "lines.linewidth": 1.6,
                "lines.scale_dashes": True,
                "figure.facecolor": "white",
                "svg.fonttype": "none" if text else "path",
                "svg.hashsalt": "mixframe",
            }
        )
        yield


def to_png(figure: Figure) -> bytes:
    """Encode a figure as PNG at 200 dots an inch, without date and software."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format="png", dpi=200, bbox_inches="tight", metadata={"Software": None})
    return out.getvalue()


def to_svg(figure: Figure, text: bool = False) -> str:
    """Encode a figure as SVG without a date; `text` as in `style`, on a transparent ground."""
    out = io.BytesIO()
    with style(text):
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        # On the page the panels stand side by side and keep the size they were laid out for.
        box = None if text else "tight"
        figure.savefig(out, format="svg", bbox_inches=box, metadata=metadata, transparent=text)
    drawing = out.getvalue().decode()
    # matplotlib names some clip paths after their addresses in memory.
    for number, name in enumerate(dict.fromkeys(re.findall(r'id="(p[0-9a-f]{10})"', drawing))):
        drawing = drawing.replace(name, f"clip{number}")
    return drawing


@dataclass(frozen=True)
class Line:
    """How the curves of a system look: colour, and dashes in line widths (none = solid)."""

    colour: str
    dashes: tuple[float, ...]

    def handle(self, label: str) -> Line2D:
        """Return an entry of a legend."""
        return Line2D([], [], color=self.colour, dashes=self.dashes or (None, None), label=label)


def lines(grid: Grid) -> dict[str, Line]:
    """Give every system a line; its dashes say where its encoder comes from."""
    chosen: dict[str, Line] = {}
    colours = cycle(COLOURS)
    for system in grid.system:
        group = next(g for g in DASHES if system in getattr(grid, g))
        colour = next(colours)
        options = [Line(colour, tuple(dashes)) for dashes in DASHES[group]]
        chosen[system] = next((o for o in options if o not in chosen.values()), options[-1])
    return chosen


def _grid(count: int, columns: int) -> tuple[int, int]:
    columns = min(count, columns)
    return ceil(count / columns), columns


def _legend_columns(systems: dict[str, Line], width: float) -> int:
    """Return how many columns of a legend fit into a width in inches."""
    entry = 0.6 + 0.075 * max(len(name) for name in systems)
    return max(1, min(len(systems), int(width / entry)))


def _legend_height(systems: dict[str, Line], width: float) -> float:
    return 0.1 + 0.2 * ceil(len(systems) / _legend_columns(systems, width))


def _legend(figure: Figure, systems: dict[str, Line], width: float) -> None:
    handles = [line.handle(name) for name, line in systems.items()]
    columns = _legend_columns(systems, width)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def det_limits(results: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of both axes of the DET plots of some results, as fractions.

    Half an error is less than any set can show; far beyond the highest EER there is little to see.
    """
    trials = results[["n_bonafide", "n_spoof"]].to_numpy().max()
    low = max(0.5 / trials, 0.0005)
    high = min(max(0.5, 1.6 * results["eer"].max()), 0.95)
    return float(low), float(high)


@style()
def det(
    points: pd.DataFrame,
    results: pd.DataFrame,
    systems: dict[str, Line],
    sets: Sequence[str],
    limits: tuple[float, float],
    legend: bool,
) -> Figure:
    """Draw DET curves, a panel a set, on probit axes, with each system's EER on the diagonal.

    Below each panel the EERs stand again with their intervals, on the same axis, a line a system.

    Args:
        points: system, set, x, y (probits).
        results: system, set, eer, eer_low, eer_high.
        limits: ends of both axes, as fractions.
    """
    rows, columns = _grid(len(sets), 3)
    width = PANEL * columns
    extra = _legend_height(systems, width) if legend else 0
    # High enough for the square panel to be as wide as the strip below it.
    heights = PANEL + 0.25, 0.45 + 0.14 * len(systems)
    figure = Figure(figsize=(width, sum(heights) * rows + extra), layout="constrained")
    axes = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, height_ratios=heights * rows
    )
    low, high = ndtri(limits)
    percents = TICKS if high - low <= WIDE else FEW_TICKS
    ticks = [p / 100 for p in percents if limits[0] <= p / 100 <= limits[1]]
    for index in range(rows * columns):
        axis, strip = axes[2 * (index // columns) : 2 * (index // columns) + 2, index % columns]
        if index >= len(sets):
            axis.remove()
            strip.remove()
            continue
        name = sets[index]
        axis.plot([low, high], [low, high], color=MUTED, linewidth=0.7)
        for system, line in systems.items():
            some = points[(points["system"] == system) & (points["set"] == name)]
            axis.plot(
                some["x"],
                some["y"],
                color=line.colour,
                dashes=line.dashes or (None, None),
                solid_joinstyle="round",
            )
        for place, (system, line) in enumerate(systems.items()):
            row = results[(results["system"] == system) & (results["set"] == name)].iloc[0]
            rates = row[["eer_low", "eer", "eer_high"]].to_numpy(np.float64)
            left, at, right = ndtri(np.clip(rates, *limits))
            strip.plot([left, right], [place, place], color=line.colour, linewidth=1.6)
            for where, height in ((axis, at), (strip, place)):
                where.plot(
                    at,
                    height,
                    marker="o",
                    markersize=5,
                    color=line.colour,
                    markeredgecolor="white",
                    markeredgewidth=0.8,
                    clip_on=False,
                    zorder=4,
                )
        axis.set(xlim=(low, high), ylim=(low, high), box_aspect=1, title=name)
        strip.set(ylim=(len(systems) - 0.4, -0.6), yticks=[])
        strip.spines["left"].set_visible(False)
        strip.grid(True, axis="x")
        for scale in (axis.xaxis, strip.xaxis, axis.yaxis):
            scale.set_ticks(ndtri(ticks), [f"{100 * t:g}" for t in ticks])
        axis.tick_params(labelbottom=True)
        strip.tick_params(labelbottom=False, bottom=False)
        axis.grid(True)
        axis.set_xlabel("spoof accepted, %")
        axis.set_ylabel("bona fide rejected, %")
        strip.set_xlabel("EER and its interval, on the same axis")
    if legend:
        _legend(figure, systems, width)
    return figure


@style()
def histograms(
    counts: pd.DataFrame, results: pd.DataFrame, systems: Sequence[str], sets: Sequence[str]
) -> Figure:
    """Draw the scores of both classes, a block a system and in it a row a set, on one axis.

    Args:
        counts: system, set, left, right, bonafide, spoof.
        results: system, set, eer, eer_threshold.
    """
    rows, columns = _grid(len(systems), 3)
    height = 0.52 * len(sets) + 0.75
    figure = Figure(figsize=(PANEL * columns, height * rows), layout="constrained")
    blocks = figure.subfigures(rows, columns, squeeze=False)
    for block, system in zip(blocks.flat, systems, strict=False):
        _block(
            block,
            system,
            counts[counts["system"] == system],
            results[results["system"] == system],
            sets,
        )
    if len(systems) > 1:
        handles = [
            Patch(color=BLUE, alpha=0.55, label="bona fide"),
            Patch(color=ORANGE, alpha=0.55, label="spoof"),
            Line2D([], [], color=INK, linewidth=1, label="threshold at the EER"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _block(
    block: SubFigure,
    system: str,
    counts: pd.DataFrame,
    results: pd.DataFrame,
    sets: Sequence[str],
) -> None:
    axes = block.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, sets, strict=True):
        some = counts[counts["set"] == name]
        edges = np.append(some["left"], some["right"].iloc[-1])
        for label, colour in (("bonafide", BLUE), ("spoof", ORANGE)):
            heights = some[label] / some[label].sum()
            axis.stairs(heights, edges, fill=True, color=colour, alpha=0.55, linewidth=0)
            axis.stairs(heights, edges, color=colour, linewidth=0.9)
        row = results[results["set"] == name].iloc[0]
        at = np.clip(row["eer_threshold"], edges[0], edges[-1])
        axis.axvline(at, ymax=0.8, color=INK, linewidth=1)
        axis.set(yticks=[], xlim=(edges[0], edges[-1]), ylim=(0, axis.get_ylim()[1] * 1.35))
        axis.spines["left"].set_visible(False)
        axis.text(0, 1, name, transform=axis.transAxes, va="top", fontsize=8)
        percent = f"EER {100 * row['eer']:.2f} %"
        axis.text(1, 1, percent, transform=axis.transAxes, va="top", ha="right", fontsize=8)
        axis.tick_params(labelbottom=axis is axes[-1])
        axis.xaxis.set_major_locator(MaxNLocator(6))
    axes[0].set_title(system)
    axes[-1].set_xlabel("score, higher = more bona fide")


def cell_colours(value: float, scale: ScalarMappable) -> tuple[str, str]:
    """Return the ground of a cell that shows an error rate, and the colour of its text."""
    ground = scale.to_rgba(np.array([value]))[0]
    light = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2] > 0.48
    return to_hex(tuple(ground)), INK if light else "#ffffff"


@style()
def conditions(rates: pd.DataFrame, systems: Sequence[str], sets: Sequence[str]) -> Figure:
    """Draw the EER of each system under each condition, a map a set.

    Args:
        rates: system, set, value (of the condition), seen (in training), eer (NaN: not defined).
    """
    names = {s: list(rates.loc[rates["set"] == s, "value"].unique()) for s in sets}
    drawn = [s for s in sets if names[s]]
    if not drawn:
        return note("The sets have one condition each.")
    widths = [len(names[s]) for s in drawn]
    margin = 0.075 * max(len(s) for s in systems) + 0.3
    figure = Figure(
        figsize=(margin + 0.62 * sum(widths) + 0.3 * len(drawn), 1.3 + 0.32 * len(systems)),
        layout="constrained",
    )
    axes = figure.subplots(1, len(drawn), width_ratios=widths, squeeze=False)[0]
    for axis, name in zip(axes, drawn, strict=True):
        some = rates[rates["set"] == name]
        table = some.pivot(index="system", columns="value", values="eer").astype(float)
        table = table.reindex(index=list(systems), columns=names[name])
        axis.imshow(table, cmap=HEAT.cmap, norm=HEAT.norm, aspect="auto")
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            text, colour = "\N{EN DASH}", INK
            if not np.isnan(value):
                text, colour = f"{100 * value:.2f}", cell_colours(value, HEAT)[1]
            axis.text(column, row, text, ha="center", va="center", color=colour, size=7.5)
        seen = dict(zip(some["value"], some["seen"], strict=True))
        ticks = [f"{a} •" if seen[a] else a for a in names[name]]
        axis.set_xticks(range(len(ticks)), ticks, rotation=35, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(systems)), list(systems) if axis is axes[0] else [])
        axis.set_title(name)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return figure


@style()
def calibration(results: pd.DataFrame, systems: dict[str, Line], sets: Sequence[str]) -> Figure:
    """Draw Cllr before and after calibration on dev, a panel a set and a line a system.

    Args:
        results: system, set, cllr, calibrated_cllr (bits; NaN where dev cannot calibrate).
    """
    rows, columns = _grid(len(sets), 3)
    height = 0.85 + 0.2 * len(systems)
    figure = Figure(figsize=(PANEL * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    # One axis for every panel, also where the page draws them one by one.
    found = results[["cllr", "calibrated_cllr"]].to_numpy(np.float64)
    limits = 0.8 * min(np.nanmin(found), 1), 1.25 * max(np.nanmax(found), 1)
    for axis, name in zip(axes.flat, sets, strict=False):
        for place, (system, line) in enumerate(systems.items()):
            row = results[(results["system"] == system) & (results["set"] == name)].iloc[0]
            before, after = float(row["cllr"]), float(row["calibrated_cllr"])
            axis.plot([before, after], [place, place], color=line.colour, linewidth=1.2)
            axis.plot(
                before,
                place,
                marker="o",
                markersize=5,
                color=line.colour,
                markerfacecolor="white",
                linestyle="none",
            )
            axis.plot(after, place, marker="o", markersize=5, color=line.colour, linestyle="none")
        axis.axvline(1, color=MUTED, linewidth=0.8, dashes=(4, 2))
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_yticks(range(len(systems)), list(systems))
        axis.set(xlim=limits, ylim=(len(systems) - 0.5, -0.5), title=name)
        axis.set_xlabel("Cllr, bits")
        axis.grid(True, axis="x")
    for axis in axes.flat[len(sets) :]:
        axis.remove()
    return figure


def panels(curves: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (stage, figure, axis) of every panel of the training curves but the learning rate's.

    Within a stage what is drawn over steps comes first, and the loss before all else.
    """
    shown = curves[curves["figure"] != "lr"]
    found = list(dict.fromkeys(zip(shown["stage"], shown["figure"], shown["axis"], strict=True)))
    stages = list(dict.fromkeys(stage for stage, _, _ in found))
    return sorted(found, key=lambda p: (stages.index(p[0]), p[2] != "step", p[1] != "loss"))


@style()
def training(
    curves: pd.DataFrame,
    systems: dict[str, Line],
    shown: Sequence[tuple[str, str, str]],
    legend: bool,
) -> Figure:
    """Draw training curves, a panel a stage and figure.

    Args:
        curves: stage, system ("" = the foundation model), axis, at, figure, value.
        shown: panels.
    """
    if not shown:
        return note("No model was trained step by step.")
    rows, columns = _grid(len(shown), 3)
    width = PANEL * columns
    extra = _legend_height(systems, width) if legend else 0
    figure = Figure(figsize=(width, 2.2 * rows + extra), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (stage, name, unit) in zip(axes.flat, shown, strict=False):
        some = curves[(curves["stage"] == stage) & (curves["figure"] == name)]
        some = some[some["axis"] == unit]
        for system in some["system"].unique():
            line = systems.get(system, Line(INK, ()))
            one = some[some["system"] == system]
            values = one["value"] * (100 if name in RATES else 1)
            axis.plot(
                one["at"],
                values,
                color=line.colour,
                dashes=line.dashes or (None, None),
                marker="o",
                markersize=3,
            )
        if unit != "step":
            axis.set_xscale("log")
        axis.set_title(f"{stage}: {FIGURE_LABELS.get(name, name)}")
        axis.set_xlabel(AXIS_LABELS.get(unit, unit))
        axis.grid(True, axis="y")
    for axis in axes.flat[len(shown) :]:
        axis.remove()
    if legend:
        _legend(figure, systems, width)
    return figure


@style()
def localisation(examples: Sequence[Example], threshold: float, legend: bool) -> Figure:
    """Draw examples: the waveform, and below it the probability that a frame was injected.

    The true regions are shaded in both. The axes have the same place in every example, so that a
    page can lay a mark over them: `TRACK`.
    """
    if not examples:
        return note("No frame classifier was trained.")
    columns = min(2, len(examples))
    rows = ceil(len(examples) / columns)
    heights = [2.1] * rows + [0.3] * legend
    figure = Figure(figsize=(4.1 * columns, sum(heights)))
    blocks = figure.subfigures(len(heights), columns, squeeze=False, height_ratios=heights)
    for block, example in zip(blocks.flat, examples, strict=False):
        wave, curve = block.subplots(
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
        curve.axhline(threshold, color=MUTED, linewidth=0.8, dashes=(4, 2))
        curve.plot(example.times, example.probability, color=BLUE, linewidth=1.4)
        curve.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel="P(injected)", xlabel="time, s")
        curve.grid(True, axis="y")
        curve.set_xlim(0, example.wave.size / SAMPLE_RATE)
        wave.set_title(f"{example.set}: {example.utterance}", fontsize=8, fontweight="normal")
    if legend:
        handles = [
            Patch(color=ORANGE, alpha=0.3, label="spliced in (truth)"),
            Line2D([], [], color=BLUE, label='probability of "injected"'),
            Line2D([], [], color=MUTED, linewidth=0.8, dashes=(4, 2), label="threshold"),
        ]
        figure.legend(handles=handles, loc="lower center", ncols=3)
    return figure


TRACK = (0.115, 0.965)
"""Left and right end of the time axis of an example, as shares of its width."""


def _waveform(axis: Axes, example: Example) -> None:
    steps = min(ENVELOPE, example.wave.size)
    edges = np.linspace(0, example.wave.size, steps, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(example.wave, edges), np.maximum.reduceat(example.wave, edges)
    axis.fill_between(edges / SAMPLE_RATE, low, high, color=MUTED, linewidth=0.3)
    peak = float(np.abs(example.wave).max()) * 1.05 or 1.0
    axis.set(ylim=(-peak, peak), yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.tick_params(bottom=False, labelbottom=False)


@style()
def note(text: str) -> Figure:
    """Return a figure that says why there is nothing to see."""
    figure = Figure(figsize=(PANEL, 0.6))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


@style()
def dag(pipeline: Pipeline) -> Figure:
    """Draw the stages in layers from top to bottom; edges that others imply are left out."""
    places, ways = layout(pipeline)
    longest = max(len(stage.name) for stage in pipeline.stages)
    width, height, drop = 0.067 * longest + 0.16, 0.4, 0.72
    step = width + 0.16
    ends = [x * step + side * width / 2 for x, _ in places.values() for side in (-1, 1)]
    ends += [x * step for way in ways for x, _ in way]
    left, right = min(ends) - 0.05, max(ends) + 0.05
    foot = -drop * max(layer for _, layer in places.values()) - height / 2 - 0.05
    figure = Figure(figsize=(right - left, height / 2 + 0.05 - foot))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(left, right), ylim=(foot, height / 2 + 0.05))
    axis.axis("off")
    for way in ways:
        points = [(x * step, -layer * drop) for x, layer in way]
        axis.add_patch(_way(points, height / 2))
        x, y = points[-1]
        axis.plot(x, y + height / 2 + 0.04, marker="v", markersize=4.5, color=MUTED)
    for stage in pipeline.stages:
        x, y = places[stage.name][0] * step, -places[stage.name][1] * drop
        axis.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.07",
                facecolor=to_rgba(BLUE, 0.1),
                edgecolor=BLUE,
                linewidth=0.9,
            )
        )
        above = 0.07 if stage.over else 0
        axis.text(x, y + above, stage.name, size=7.8, weight="bold", ha="center", va="center")
        if stage.over:
            each = "each " + " \N{MULTIPLICATION SIGN} ".join(stage.over)
            axis.text(x, y - 0.09, each, size=7, color=MUTED, ha="center", va="center")
    return figure


def _way(ends: Sequence[tuple[float, float]], half: float) -> PathPatch:
    """Return a smooth line from the foot of a node to the head of another.

    Args:
        ends: centres of the places it passes, downwards.
        half: half the height of a node; beside one the line is straight.
    """
    x, y = ends[0]
    points, codes = [(x, y - half)], [Curve.MOVETO]
    for x_to, y_to in ends[1:]:
        x_from, y_from = points[-1]
        bend = (y_from - y_to - half) / 2
        points += [(x_from, y_from - bend), (x_to, y_to + half + bend), (x_to, y_to + half)]
        points.append((x_to, y_to - half))
        codes += [*[Curve.CURVE4] * 3, Curve.LINETO]
    # The last straight part would run through the node at the end.
    return PathPatch(Curve(points[:-1], codes[:-1]), facecolor="none", edgecolor=MUTED, linewidth=1)
