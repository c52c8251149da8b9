"""EER by how much of a trial was spliced in, a panel a set and measure, a line a system."""

from functools import partial

import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.experiment.params import Grid
from mixframe.report.collect import Collected
from mixframe.report.draw import PANEL, Drawing, Line, lines, system_keys
from mixframe.report.spliced import MEASURES

TITLE = "Trials that are spliced in part"
LABELS = {"share": "spliced share of the trial, %", "longest": "longest spliced region, s"}
CAPTION = """\
<b>EER by how much of a trial was spliced in.</b> A dot is a quarter of the spliced trials, ordered
by the share of the trial, or by the longest region, and stands at its median; each quarter is held
against all bona fide trials of the set. Means over the seeds."""


def figure(data: Collected) -> Drawing:
    """Draw `data.spliced`."""
    return drawing(data.spliced, data.grid)


def drawing(rates: pd.DataFrame, grid: Grid) -> Drawing:
    """Draw two panels a set.

    Args:
        rates: set, system and the columns of `mixframe.report.spliced.by_region`.
    """
    panels = {
        f"EER on {name} by {LABELS[measure]}": partial(
            panel,
            title=str(name),
            rates=rows[rows["measure"] == measure],
            systems=lines(grid),
            measure=measure,
            top=float(rows["eer"].max()),
        )
        for name, rows in rates.groupby("set", sort=False)
        for measure in MEASURES
    }
    return Drawing(
        rates,
        panels,
        (PANEL, 2.5),
        CAPTION,
        title=TITLE if panels else "",
        note="No trial is spliced in part.",
        columns=len(MEASURES),
        legend=system_keys(grid),
    )


def panel(
    canvas: FigureBase,
    title: str,
    rates: pd.DataFrame,
    systems: dict[str, Line],
    measure: str,
    top: float,
) -> None:
    """Draw one set; `rates` has system, median and eer, of which `top` is the set's highest."""
    axis = canvas.subplots()
    scale = 100 if measure == "share" else 1
    for system, line in systems.items():
        rows = rates[rates["system"] == system]
        axis.plot(
            scale * rows["median"],
            100 * rows["eer"],
            color=line.colour,
            dashes=line.dashes or (None, None),
            marker="o",
            markersize=4,
        )
    axis.set(title=title, xlabel=LABELS[measure], ylabel="EER, %")
    axis.set_xlim(left=0)
    axis.set_ylim(0, 110 * top or 1)
    axis.grid(True)
