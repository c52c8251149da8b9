"""EER against the strength of a distortion, a panel a curve, a line a system."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.audio.distortions.planning import CLEAN
from mixframe.experiment.params import Grid, Preset
from mixframe.report.collect import Collected
from mixframe.report.draw import PANEL, Drawing, Line, lines, plain, system_keys

CAPTION = """\
<b>Degradation curves.</b> EER against the strength of a distortion with its interval; the thin line
is the EER of the same trials clean."""
COLUMNS = ["set", "curve", "axis", "system", "condition", "strength", "eer", "low", "high", "clean"]


def figure(data: Collected) -> Drawing:
    """Draw the curves that the preset names."""
    return drawing(table(data.robustness, data.preset), data.grid)


def drawing(rates: pd.DataFrame, grid: Grid) -> Drawing:
    """Draw a panel a set and curve; `rates` as of `table`."""
    panels = {
        f"EER on {name} by {axis} of {curve}": partial(
            panel, title=f"{name}: {curve}", axis_label=str(axis), rates=rows, systems=lines(grid)
        )
        for (name, curve, axis), rows in rates.groupby(["set", "curve", "axis"], sort=False)
    }
    return Drawing(
        rates,
        panels,
        (PANEL, 2.4),
        CAPTION,
        note="No condition has several strengths.",
        legend=system_keys(grid),
    )


def table(details: Mapping[str, Any], preset: Preset) -> pd.DataFrame:
    """Return a row a set, curve, system and condition, with the columns of `COLUMNS`."""
    curves = preset.robustness.curves if preset.robustness else {}
    rows = [
        {
            "set": name,
            "curve": curve,
            "axis": params.axis,
            "system": system,
            "condition": condition,
            "strength": strength,
            **{key: conditions[condition][key] for key in ("eer", "low", "high")},
            "clean": conditions[CLEAN]["eer"],
        }
        for name, entry in details.items()
        for curve, params in curves.items()
        for system, conditions in entry["conditions"].items()
        for condition, strength in sorted(params.strengths.items(), key=lambda item: item[1])
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def panel(
    canvas: FigureBase, title: str, axis_label: str, rates: pd.DataFrame, systems: dict[str, Line]
) -> None:
    """Draw one curve of one set."""
    axis = canvas.subplots()
    for system, line in systems.items():
        rows = rates[rates["system"] == system]
        if rows.empty:
            continue
        dashes = line.dashes or (None, None)
        axis.axhline(100 * rows["clean"].iloc[0], color=line.colour, linewidth=0.5, alpha=0.6)
        ends = 100 * rows[["low", "high"]].to_numpy(float)
        axis.vlines(rows["strength"], *ends.T, color=line.colour, linewidth=0.7, alpha=0.6)
        axis.plot(
            rows["strength"],
            100 * rows["eer"],
            color=line.colour,
            dashes=dashes,
            marker="o",
            markersize=3.5,
        )
    axis.set(title=plain(title), xlabel=plain(axis_label), ylabel="EER, %")
    axis.set_ylim(bottom=0)
    axis.grid(True, axis="y")
