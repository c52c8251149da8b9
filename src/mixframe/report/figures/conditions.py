"""EER of each system under each condition, a map a set: attacks and codecs alike."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.report.draw import HEAT, INK, Drawing, cell_colours, plain


def drawing(
    rates: pd.DataFrame, systems: Sequence[str], sets: Sequence[str], caption: str
) -> Drawing:
    """Draw the maps of all sets side by side; the page has tables in their place.

    Args:
        rates: system, set, value (of the condition), seen (in training), eer (NaN: not defined).
    """
    names = {s: list(rates.loc[rates["set"] == s, "value"].unique()) for s in sets}
    names = {s: values for s, values in names.items() if values}
    margin = 0.075 * max(len(s) for s in systems) + 0.3
    width = margin + 0.62 * sum(len(v) for v in names.values()) + 0.3 * len(names)
    maps = partial(panel, rates=rates, systems=systems, names=names)
    return Drawing(
        rates,
        {"EER by condition": maps} if names else {},
        (width, 1.3 + 0.32 * len(systems)),
        caption,
        note="The sets have one condition each.",
    )


def panel(
    canvas: FigureBase, rates: pd.DataFrame, systems: Sequence[str], names: dict[str, list[str]]
) -> None:
    """Draw the maps; `names` are the conditions of each set."""
    widths = [len(values) for values in names.values()]
    axes = canvas.subplots(1, len(names), width_ratios=widths, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        rows = rates[rates["set"] == name]
        table = rows.pivot(index="system", columns="value", values="eer").astype(float)
        table = table.reindex(index=list(systems), columns=names[name])
        axis.imshow(table, cmap=HEAT.cmap, norm=HEAT.norm, aspect="auto")
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            text, colour = "\N{EN DASH}", INK
            if not np.isnan(value):
                text, colour = f"{100 * value:.2f}", cell_colours(value, HEAT)[1]
            axis.text(column, row, text, ha="center", va="center", color=colour, size=7.5)
        seen = dict(zip(rows["value"], rows["seen"], strict=True))
        ticks = [plain(f"{a} •" if seen[a] else a) for a in names[name]]
        axis.set_xticks(range(len(ticks)), ticks, rotation=35, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(systems)), [*map(plain, systems)] if axis is axes[0] else [])
        axis.set_title(plain(name))
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
