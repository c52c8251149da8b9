"""DET curves, a panel a set, with each system's EER on the diagonal.

Below each panel the EERs stand again with their intervals, on the same axis, a line a system.
"""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase
from scipy.special import ndtri

from mixframe.report.collect import Collected
from mixframe.report.draw import MUTED, PANEL, Drawing, Line, lines, plain, system_keys

TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
"""Percentages on a DET axis,"""
FEW_TICKS = (0.1, 0.5, 2, 5, 10, 20, 40, 60, 80, 90, 95)
"""and those on one of more than `WIDE` probits."""
WIDE = 3.6
CAPTION = """\
<b>Errors at every threshold</b>, on probit axes; lower left is better, and the dot on the
diagonal is the EER, in the corner if it is below the axes. Under each panel, on the same axis,
the EERs with their {level}&nbsp;% intervals, in the order of the legend. Solid lines are
systems with a post-trained encoder, dashed ones start from the foundation model or random
weights, dotted ones have no encoder. A curve ends where a set of this size shows no further
errors."""


def figure(data: Collected) -> Drawing:
    """Draw `data.det` and `data.results`."""
    systems, limits = lines(data.grid), det_limits(data.results)
    panels = {
        f"DET curves on {name}": partial(
            panel,
            name=name,
            points=data.det[data.det["set"] == name],
            results=data.results[data.results["set"] == name].set_index("system"),
            systems=systems,
            limits=limits,
        )
        for name in data.grid.set
    }
    level = f"{100 * data.preset.evaluate.bootstrap.level:g}"
    return Drawing(
        data.det,
        panels,
        (PANEL, sum(_heights(systems))),
        CAPTION.format(level=level),
        legend=system_keys(data.grid),
    )


def det_limits(results: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of both axes of the DET plots of some results, as fractions.

    Half an error is less than any set can show; far beyond the highest EER there is little to see.
    """
    trials = results[["n_bonafide", "n_spoof"]].to_numpy().max()
    low = max(0.5 / trials, 0.0005)
    high = min(max(0.5, 1.6 * results["eer"].max()), 0.95)
    return float(low), float(high)


def _heights(systems: dict[str, Line]) -> tuple[float, float]:
    """Return inches: high enough for the square panel to be as wide as the strip below it."""
    return PANEL + 0.25, 0.45 + 0.14 * len(systems)


def panel(
    canvas: FigureBase,
    name: str,
    points: pd.DataFrame,
    results: pd.DataFrame,
    systems: dict[str, Line],
    limits: tuple[float, float],
) -> None:
    """Draw one set on probit axes.

    Args:
        points: system, x, y (probits).
        results: eer, eer_low, eer_high by system, of several trainings eer_both_low and
            eer_both_high, which are drawn in place of these.
        limits: ends of both axes, as fractions.
    """
    axis, strip = canvas.subplots(2, 1, sharex=True, height_ratios=_heights(systems))
    low, high = ndtri(limits)
    percents = TICKS if high - low <= WIDE else FEW_TICKS
    ticks = [p / 100 for p in percents if limits[0] <= p / 100 <= limits[1]]
    axis.plot([low, high], [low, high], color=MUTED, linewidth=0.7)
    for system, line in systems.items():
        curve = points[points["system"] == system]
        axis.plot(
            curve["x"],
            curve["y"],
            color=line.colour,
            dashes=line.dashes or (None, None),
            solid_joinstyle="round",
        )
    ends = "eer_both" if "eer_both_low" in results else "eer"
    for place, (system, line) in enumerate(systems.items()):
        rates = results.loc[system, [f"{ends}_low", "eer", f"{ends}_high"]].to_numpy(np.float64)
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
    axis.set(xlim=(low, high), ylim=(low, high), box_aspect=1, title=plain(name))
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
