"""EER by duration against the length of spoofed regions, a panel a set, a line a localiser."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.experiment.scored import localiser_name
from mixframe.report.collect import Collected
from mixframe.report.draw import PANEL, Drawing, Key, Line, localiser_lines, plain

COLUMNS = ["set", "localiser", "shortest", "median", "longest", "n_bonafide", "n_spoof"]
COLUMNS += ["eer", "std", "low", "high"]
CAPTION = """\
<b>EER by duration against the length of spoofed regions.</b> A dot is a quarter of the utterances
that are spoofed in part, ordered by their longest spoofed region, and stands at its median; each
quarter is held against all bona fide utterances of the set. Bars are intervals."""


def figure(data: Collected) -> Drawing:
    """Draw `data.regions`."""
    names = list(data.localisation.localisers) if data.localisation else []
    return drawing(data.regions["localisers"], names)


def drawing(rows: Sequence[Mapping[str, Any]], localisers: Sequence[str]) -> Drawing:
    """Draw a panel a set.

    Args:
        rows: stage, system, set and by_longest, as stage evaluate_regions has them.
        localisers: the names of all.
    """
    table = pd.DataFrame(
        [
            {"set": row["set"], "localiser": localiser_name(row["stage"], row["system"]), **entry}
            for row in rows
            for entry in row["by_longest"]
        ],
        columns=COLUMNS,
    )
    lines = localiser_lines(localisers)
    panels = {
        f"EER by duration on {name} by the longest spoofed region": partial(
            panel, title=str(name), rates=rates, lines=lines
        )
        for name, rates in table.groupby("set", sort=False)
    }
    return Drawing(
        table,
        panels,
        (PANEL, 2.5),
        CAPTION,
        note="No set with known regions was scored by a localiser.",
        legend=[Key(name, line) for name, line in lines.items()],
    )


def panel(canvas: FigureBase, title: str, rates: pd.DataFrame, lines: Mapping[str, Line]) -> None:
    """Draw one set; `rates` has localiser, median, eer, low and high."""
    axis = canvas.subplots()
    for name, line in lines.items():
        rows = rates[rates["localiser"] == name].astype({"low": float, "high": float})
        axis.plot(
            rows["median"],
            100 * rows["eer"],
            color=line.colour,
            dashes=line.dashes or (None, None),
            marker="o",
            markersize=4,
        )
        axis.vlines(
            rows["median"], 100 * rows["low"], 100 * rows["high"], color=line.colour, linewidth=0.9
        )
    axis.set(title=plain(title), xlabel="longest spoofed region, s", ylabel="EER by duration, %")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.grid(True)
