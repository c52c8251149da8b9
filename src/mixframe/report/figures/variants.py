"""EER against a value of the preset, over the systems that differ in this value alone."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import FigureBase
from matplotlib.transforms import offset_copy

from mixframe.experiment.params import Grid, Preset
from mixframe.metrics.tables import span
from mixframe.report.collect import Collected
from mixframe.report.draw import PANEL, Drawing, Key, Line, lines, plain

TITLE = "What one value changes"
CAPTION = """\
<b>EER against a value of the preset.</b> Systems on one line differ in this value and in nothing
else; a line has the shortest of their names. Bars are the intervals of the table: with
several seeds over trials and trainings, with one over trials alone."""
COLUMNS = ["key", "line", "system", "value", "set", "eer", "low", "high"]
WIDE = 10
"""Values of which the highest is so many times the lowest stand on a logarithmic axis."""
MARGIN = 0.15
"""Of the axis on either side of its values, as a share of their range."""
APART = 4.0
"""Points between the bars of two lines at one value."""


def figure(data: Collected) -> Drawing:
    """Draw `rates` of the results."""
    return drawing(rates(data.results, data.preset, data.grid), data.grid)


def rates(results: pd.DataFrame, preset: Preset, grid: Grid) -> pd.DataFrame:
    """Return the rates of all systems that differ from another one in a single value.

    Args:
        results: as `Collected` has them.

    Returns:
        key (dotted, without the system's name), line (the shortest name of the systems that differ
        in nothing but this key), system, value, set, eer, low, high; by key and line, numbers
        ascending.
    """
    figures = {(row["system"], row["set"]): row for row in results.to_dict("records")}
    made_by = {system: settings(preset, system) for system in grid.system}
    rows = []
    for key, systems in alike(made_by):
        values = {system: made_by[system][key] for system in systems}
        numbers = all(_is_number(value) for value in values.values())
        line = min(systems, key=len)
        for system in sorted(systems, key=values.__getitem__) if numbers else systems:
            for name in grid.set:
                row = figures[system, name]
                ends = span(row) or (row["eer"], row["eer"])
                rows.append((key, line, system, values[system], name, row["eer"], *ends))
    return pd.DataFrame(rows, columns=COLUMNS)


def settings(preset: Preset, system: str) -> dict[str, Any]:
    """Return every value that makes a system, by dotted key without the system's name.

    They are those of its section of `finetune`, and where its encoder is post-trained those of
    the encoder's sections of `posttrain` and `splice`, whatever the encoder is called.
    """
    sections = {"finetune": preset.finetune[system].model_dump()}
    encoder = sections["finetune"].get("encoder")
    if encoder in preset.posttrain:
        sections["finetune"]["encoder"] = "posttrained"
        sections["posttrain"] = preset.posttrain[encoder].model_dump()
        sections["splice"] = preset.splice[encoder].model_dump()
    return dict(_flat(sections))


def _flat(table: dict[str, Any], begin: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{begin}{key}.")
        else:
            # A list has no place on an axis but under its name.
            yield begin + key, value if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def alike(made_by: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return every key in which systems differ and all else is equal, with these systems.

    Args:
        made_by: `settings` by system.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for system, values in made_by.items():
        for key in values:
            others = sorted((k, v) for k, v in values.items() if k != key)
            groups.setdefault((key, repr(others)), []).append(system)
    return [
        (key, systems)
        for (key, _), systems in sorted(groups.items(), key=lambda group: group[0][0])
        if len({made_by[system][key] for system in systems}) > 1
    ]


def drawing(rates: pd.DataFrame, grid: Grid) -> Drawing:
    """Draw a panel a key and set, a line a group of systems; `rates` as from `rates`."""
    panels = {
        f"EER on {name} against {key}": partial(
            panel, title=str(name), key=str(key), rates=rows, systems=lines(grid)
        )
        for (key, name), rows in rates.groupby(["key", "set"], sort=False)
    }
    named = rates["line"].unique()
    return Drawing(
        rates,
        panels,
        (PANEL, 2.5),
        CAPTION,
        title=TITLE if panels else "",
        note="No two systems differ in one value alone.",
        columns=max(1, rates["set"].nunique()),
        legend=[Key(system, line) for system, line in lines(grid).items() if system in named],
    )


def panel(
    canvas: FigureBase, title: str, key: str, rates: pd.DataFrame, systems: dict[str, Line]
) -> None:
    """Draw one key and set; numbers stand on their axis, other values side by side."""
    axis = canvas.subplots()
    values = list(dict.fromkeys(rates["value"]))
    numbers = all(_is_number(value) for value in values)
    if numbers:
        values.sort()
    places = {value: value if numbers else place for place, value in enumerate(values)}
    named, whole = rates["line"].unique(), canvas.get_figure(root=True)
    for number, name in enumerate(named):
        rows = rates[rates["line"] == name]
        line = systems[name]
        aside = APART * (number - (len(named) - 1) / 2)
        # A percentile interval need not hold the rate that it is about.
        below, above = (rows["eer"] - rows["low"]).clip(0), (rows["high"] - rows["eer"]).clip(0)
        axis.errorbar(
            [places[value] for value in rows["value"]],
            100 * rows["eer"],
            yerr=[100 * below, 100 * above],
            color=line.colour,
            dashes=line.dashes or (None, None),
            marker="o",
            markersize=4,
            elinewidth=0.9,
            transform=offset_copy(axis.transData, whole, aside, units="points"),
        )
    low, high = places[values[0]], places[values[-1]]
    if numbers and low > 0 and high >= WIDE * low:
        axis.set_xscale("log")
        axis.set_xlim(low * (low / high) ** MARGIN, high * (high / low) ** MARGIN)
    else:
        axis.set_xlim(low - MARGIN * (high - low), high + MARGIN * (high - low))
    ticks = [f"{value:g}" if numbers else plain(value) for value in values]
    axis.set_xticks([places[value] for value in values], ticks)
    axis.minorticks_off()
    axis.set(title=plain(title), xlabel=plain(key), ylabel="EER, %")
    axis.set_ylim(0, 110 * rates["high"].max() or 1)
    axis.grid(True)
