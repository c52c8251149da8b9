"""EER of each system under each condition, a map a set."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import FigureBase

from mixframe.report.collect import Collected
from mixframe.report.draw import HEAT, INK, MUTED, Drawing, cell_colours, plain

CAPTION = """\
<b>EER under each condition</b>, in percent, of the same trials. A dot marks a change from clean
that survives Holm's correction for the number of conditions, of the trials alone where there is one
training."""
COLUMNS = ["set", "system", "condition", "eer", "low", "high", "change", "reason"]
COLUMNS += ["bonafide_shift", "spoof_shift", "miss", "false_alarm", "act_dcf", "cllr"]
UNSUPPORTED = ("trials", "trainings")
"""Reasons, as `metrics.evaluation.judged` has them, why a change gets no dot."""


def figure(data: Collected) -> Drawing:
    """Draw `data.robustness`."""
    return drawing(data.robustness)


def drawing(details: Mapping[str, Any]) -> Drawing:
    """Draw what stage evaluate_robust has written, by set."""
    rates = table(details)
    panels = {
        f"EER under each condition on {name}": partial(panel, title=str(name), rates=rows)
        for name, rows in rates.groupby("set", sort=False)
    }
    n_rows = rates.groupby("set")["condition"].nunique().max() if panels else 0
    width = 2.2 + 0.62 * rates["system"].nunique()
    return Drawing(
        rates,
        panels,
        (width, 1.1 + 0.19 * n_rows),
        CAPTION,
        note="Nothing was heard under distortions.",
        columns=2,
    )


def table(details: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row a set, system and condition, with the columns of `COLUMNS`."""
    rows = [
        {
            "set": name,
            "system": system,
            "condition": condition,
            **figures,
            "change": figures.get("change", {}).get("difference"),
            "reason": figures.get("change", {}).get("reason", "clean"),
        }
        for name, entry in details.items()
        for system, conditions in entry["conditions"].items()
        for condition, figures in conditions.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def panel(canvas: FigureBase, title: str, rates: pd.DataFrame) -> None:
    """Draw one set; `rates` as of `table`."""
    systems: Sequence[str] = list(rates["system"].unique())
    conditions = list(rates["condition"].unique())
    values = rates.pivot(index="condition", columns="system", values="eer")
    reasons = rates.pivot(index="condition", columns="system", values="reason")
    values, reasons = (t.reindex(index=conditions, columns=systems) for t in (values, reasons))
    axis = canvas.subplots()
    axis.imshow(
        values.to_numpy(float), cmap=HEAT.cmap, norm=cast(Normalize, HEAT.norm), aspect="auto"
    )
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        supported = reasons.iloc[row, column] not in (*UNSUPPORTED, "clean")
        colour = cell_colours(value, HEAT)[1]
        text = f"{100 * value:.1f}" + (" •" if supported else "")
        axis.text(column, row, text, ha="center", va="center", color=colour, size=6.5)
    axis.set_xticks(range(len(systems)), [plain(s) for s in systems], rotation=35, ha="left")
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(conditions)), [plain(c) for c in conditions], size=6.5)
    axis.tick_params(length=0, labelcolor=INK, color=MUTED)
    axis.set_xlabel(plain(title))
    axis.spines[:].set_visible(False)
