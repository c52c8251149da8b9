"""The stages in layers from top to bottom; edges that others imply are left out."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import FigureBase
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from mixframe.report.collect import Collected
from mixframe.report.draw import BLUE, MUTED, Drawing
from mixframe.report.pipeline import layout

CAPTION = """\
<b>The stages of dvc.yaml</b>, each after what it depends on; lines that others imply are left
out."""


def figure(data: Collected) -> Drawing:
    """Draw `data.pipeline`."""
    pipeline = data.pipeline
    places, ways = layout(pipeline)
    longest = max(len(stage.name) for stage in pipeline.stages)
    width, height, drop = 0.067 * longest + 0.16, 0.4, 0.72
    step = width + 0.16
    ends = [x * step + side * width / 2 for x, _ in places.values() for side in (-1, 1)]
    ends += [x * step for way in ways for x, _ in way]
    left, right = min(ends) - 0.05, max(ends) + 0.05
    foot = -drop * max(layer for _, layer in places.values()) - height / 2 - 0.05

    def panel(canvas: FigureBase) -> None:
        axis = canvas.add_axes((0, 0, 1, 1))
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

    return Drawing(
        pd.DataFrame([asdict(edge) for edge in pipeline.edges]),
        {"The stages of the pipeline and what depends on what": panel},
        (right - left, height / 2 + 0.05 - foot),
        CAPTION,
        constrained=False,
    )


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
