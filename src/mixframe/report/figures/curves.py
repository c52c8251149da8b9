"""Training curves, a panel a stage and figure."""

from functools import partial

import pandas as pd
from matplotlib.figure import FigureBase

from mixframe.report.collect import Collected
from mixframe.report.draw import INK, PANEL, Drawing, Line, lines, system_keys

FIGURE_LABELS = {
    "loss": "training loss",
    "dev_loss": "loss on dev",
    "dev_accuracy": "accuracy on dev, %",
    "frame_eer": "frame EER on held-out, %",
    "dev_eer": "EER on dev, %",
    "dev_cllr": "Cllr on dev, bits",
}
AXIS_LABELS = {"step": "step", "inverse_regularisation": "inverse regularisation C"}
RATES = ("frame_eer", "dev_eer", "dev_accuracy")
CAPTION = """\
<b>Training curves</b>, a point a validation; the training loss is the mean since the point
before. Fine-tuning keeps the state that is best on dev (<code>select</code> says by what), or the
mean of the best few; no evaluation set has a say in it. Losses of different objectives are not
comparable."""


def figure(data: Collected) -> Drawing:
    """Draw `data.curves`."""
    panels = {}
    for stage, name, unit in order(data.curves):
        rows = data.curves[(data.curves["stage"] == stage) & (data.curves["figure"] == name)]
        panels[f"Training curves, {stage}, {name} by {unit}"] = partial(
            panel,
            stage=stage,
            name=name,
            unit=unit,
            curves=rows[rows["axis"] == unit],
            systems=lines(data.grid),
        )
    return Drawing(
        data.curves,
        panels,
        (PANEL, 2.2),
        CAPTION,
        note="No model was trained step by step.",
        legend=system_keys(data.grid),
    )


def order(curves: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (stage, figure, axis) of every panel of the training curves but the learning rate's.

    Within a stage what is drawn over steps comes first, and the loss before all else.
    """
    shown = curves[curves["figure"] != "lr"]
    panels = list(dict.fromkeys(zip(shown["stage"], shown["figure"], shown["axis"], strict=True)))
    stages = list(dict.fromkeys(stage for stage, _, _ in panels))
    return sorted(panels, key=lambda p: (stages.index(p[0]), p[2] != "step", p[1] != "loss"))


def panel(
    canvas: FigureBase,
    stage: str,
    name: str,
    unit: str,
    curves: pd.DataFrame,
    systems: dict[str, Line],
) -> None:
    """Draw one figure of a stage.

    Args:
        curves: system ("" = the foundation model), at, value.
    """
    axis = canvas.subplots()
    for system in curves["system"].unique():
        line = systems.get(system, Line(INK))
        one = curves[curves["system"] == system]
        values = one["value"] * (100 if name in RATES else 1)
        axis.plot(
            one["at"],
            values,
            color=line.colour,
            dashes=line.dashes or (None, None),
            marker="o",
            markersize=3,
        )
    if unit != "step":
        axis.set_xscale("log")
    axis.set_title(f"{stage}: {FIGURE_LABELS.get(name, name)}")
    axis.set_xlabel(AXIS_LABELS.get(unit, unit))
    axis.grid(True, axis="y")
