"""What every figure of the report shares: style, colours, and the way from panels to files.

A figure is a module of `mixframe.report.figures`; it draws its panels one by one, for the page and
for the files alike. Nothing here reads a file.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from math import ceil
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm, to_hex
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mixframe.base.shown import visible
from mixframe.experiment.params import Grid

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
    drawing = visible(out.getvalue().decode())
    # matplotlib names some clip paths after their addresses in memory.
    for number, name in enumerate(dict.fromkeys(re.findall(r'id="(p[0-9a-f]{10})"', drawing))):
        drawing = drawing.replace(name, f"clip{number}")
    return drawing


def plain(name: str) -> str:
    """Return a name as matplotlib draws it as it is; between dollars it would be a formula."""
    return visible(name).replace("$", r"\$")


@dataclass(frozen=True)
class Line:
    """How the curves of a system look: colour, and dashes in line widths (none = solid)."""

    colour: str
    dashes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a line, or an area of some opacity."""

    label: str
    line: Line
    opacity: float | None = None

    def handle(self) -> Artist:
        """Return the entry for a legend of matplotlib."""
        label = plain(self.label)
        if self.opacity is not None:
            return Patch(color=self.line.colour, alpha=self.opacity, label=label)
        dashes = self.line.dashes or (None, None)
        return Line2D([], [], color=self.line.colour, dashes=dashes, label=label)


@dataclass(frozen=True)
class Drawing:
    """A figure: what a module of `mixframe.report.figures` makes of the data.

    Attributes:
        table: the numbers behind it.
        panels: what draws each panel on an empty figure or a part of one, by what a screen reader
            says of it; none where there is nothing to see, and then `note` says why.
        size: width and height of a panel, inches.
        columns: panels side by side in the files.
        legend: of all panels.
        constrained: matplotlib places the axes; otherwise they stay where a panel puts them.
        caption: HTML.
        title: of the figure's own section on the page; "" where the page's template places it.
    """

    table: pd.DataFrame
    panels: Mapping[str, Callable[[FigureBase], None]]
    size: tuple[float, float]
    caption: str
    title: str = ""
    note: str = ""
    columns: int = 3
    legend: list[Key] = field(default_factory=list)
    constrained: bool = True

    def page(self) -> list[str]:
        """Return each panel as an SVG for the page, so that a phone can stack them."""
        drawn = []
        for panel in self.panels.values():
            with style():
                figure = Figure(figsize=self.size, layout=self._layout)
                panel(figure)
            drawn.append(to_svg(figure, text=True))
        return drawn

    def whole(self) -> Figure:
        """Draw all panels and the legend in one figure, for the files."""
        if not self.panels:
            return note(self.note)
        columns = min(self.columns, len(self.panels))
        width = self.size[0] * columns
        heights = [self.size[1]] * ceil(len(self.panels) / columns)
        if self.legend:
            entry = 0.6 + 0.075 * max(len(key.label) for key in self.legend)
            abreast = max(1, min(len(self.legend), int(width / entry)))
            heights.append(0.1 + 0.2 * ceil(len(self.legend) / abreast))
        with style():
            figure = Figure(figsize=(width, sum(heights)), layout=self._layout)
            blocks = figure.subfigures(len(heights), columns, squeeze=False, height_ratios=heights)
            for block, panel in zip(blocks.flat, self.panels.values(), strict=False):
                panel(block)
            if self.legend:
                handles = [key.handle() for key in self.legend]
                figure.legend(handles=handles, loc="lower center", ncols=abreast)
        return figure

    @property
    def _layout(self) -> Literal["constrained"] | None:
        return "constrained" if self.constrained else None


@style()
def note(text: str) -> Figure:
    """Return a figure that says why there is nothing to see."""
    figure = Figure(figsize=(PANEL, 0.6))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


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


def localiser_lines(names: Sequence[str]) -> dict[str, Line]:
    """Give every localiser a line; orange is the truth's."""
    colours = [colour for colour in COLOURS if colour != ORANGE]
    dashes = ((), (4, 1.5), (1, 1.2))
    lines = (Line(colour, dash) for dash in cycle(dashes) for colour in colours)
    return dict(zip(names, lines, strict=False))


def system_keys(grid: Grid) -> list[Key]:
    """Return the legend of the systems."""
    return [Key(name, line) for name, line in lines(grid).items()]


def cell_colours(value: float, scale: ScalarMappable) -> tuple[str, str]:
    """Return the ground of a cell that shows an error rate, and the colour of its text."""
    ground = scale.to_rgba(np.array([value]))[0]
    light = 0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2] > 0.48
    return to_hex(tuple(ground)), INK if light else "#ffffff"
