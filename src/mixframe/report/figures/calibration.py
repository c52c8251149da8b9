"""Cllr before and after calibration on dev, a panel a set and a line a system."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from mixframe.experiment.params import Grid
from mixframe.report.collect import Collected
from mixframe.report.draw import MUTED, PANEL, Drawing, Line, lines, plain, system_keys

COLUMNS = ["system", "set", "act_dcf", "calibrated_act_dcf", "cllr", "calibrated_cllr"]
CAPTION = """\
<b>C<sub>llr</sub> before (open) and after (filled) calibration.</b> Right of the dashed line,
at 1&nbsp;bit, the scores read as probabilities are worse than none. Calibration on the voices
and attacks of <code>dev</code> need not hold on others."""


def figure(data: Collected) -> Drawing:
    """Draw the two Cllr of `data.results`."""
    return drawing(data.results[COLUMNS], data.grid)


def drawing(results: pd.DataFrame, grid: Grid) -> Drawing:
    """Draw a panel a set, all on one axis.

    Args:
        results: system, set, cllr, calibrated_cllr (bits; NaN where dev cannot calibrate).
    """
    rates = results[["cllr", "calibrated_cllr"]].to_numpy(np.float64)
    limits = float(0.8 * min(np.nanmin(rates), 1)), float(1.25 * max(np.nanmax(rates), 1))
    panels = {
        f"Cllr before and after calibration on {name}": partial(
            panel,
            title=name,
            results=results[results["set"] == name].set_index("system"),
            systems=lines(grid),
            limits=limits,
        )
        for name in grid.set
    }
    size = PANEL, 0.85 + 0.2 * len(grid.system)
    return Drawing(results, panels, size, CAPTION, legend=system_keys(grid))


def panel(
    canvas: FigureBase,
    title: str,
    results: pd.DataFrame,
    systems: dict[str, Line],
    limits: tuple[float, float],
) -> None:
    """Draw one set, before (open) and after (filled); `limits` in bits."""
    axis = canvas.subplots()
    for place, (system, line) in enumerate(systems.items()):
        row = results.loc[system]
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
    axis.set(xlim=limits, ylim=(len(systems) - 0.5, -0.5), title=plain(title))
    axis.set_xlabel("Cllr, bits")
    axis.grid(True, axis="x")
