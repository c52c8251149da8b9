"""Stage evaluate: figures of one system on every set, over the seeds of the grid.

Attacks that occur in the set train are known, all others unknown.

Reads: results/<preset>/corpus/manifest.parquet, results/<preset>/scores/<system>/, the preset's
`evaluate` section and `seed`, seeds and sets of the grid.
Writes: results/<preset>/{metrics, details}/<system>.json and results/<preset>/det/<system>.csv.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixframe.audio import manifest
from mixframe.base.files import write_json, write_text
from mixframe.base.progress import log
from mixframe.experiment.params import Grid
from mixframe.experiment.scored import DEV, read_runs, settings
from mixframe.metrics import calibration, detection, evaluation, scorefiles
from mixframe.stages.context import Context, running

TRAIN = "train"
"""The set whose attacks are known."""

DET_POINTS = 200
"""Points of a thinned DET curve; a plot shows no more."""


def run(context: Context, system: str, grid: Grid) -> None:
    """Evaluate the scores of one system on every set of the grid.

    Raises:
        MixframeError: a score file is missing, or does not have exactly one score a trial.
    """
    preset, files = context.preset, context.files
    with running(context, "evaluate", system):
        table = manifest.read(files.manifest, [TRAIN, DEV, *grid.set])
        trained = table.loc[(table["set"] == TRAIN) & (table["label"] == "spoof"), "attack"]
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        dev = read_runs(files, table, system, DEV, grid)
        fitted = [calibration.fit(*scorefiles.by_class(run)) for run in dev]
        details: dict[str, Any] = {}
        curves = []
        for name in grid.set:
            runs = read_runs(files, table, system, name, grid)
            details[name] = {
                **evaluation.pooled(runs, how),
                **evaluation.by_novelty(runs, set(trained), how),
                "calibrated": evaluation.calibrated(runs, fitted, how.costs),
                "by_attack": evaluation.by_condition(runs, "attack", how),
                "by_codec": (
                    evaluation.by_condition(runs, "codec", how)
                    if runs[0]["codec"].nunique() > 1
                    else {}
                ),
            }
            points = det_curve(*scorefiles.by_class(runs[0]))
            curves.append(points.assign(set=name)[["set", "p_fa", "p_miss", "x", "y"]])
            warning = scorefiles.sign_warning(details[name]["eer"])
            if warning:
                log(f"  {system} on {name}: {warning}")
        figures = {
            name: {
                **evaluation.brief(entry),
                **{kind: entry[kind] for kind in ("known", "unknown")},
            }
            for name, entry in details.items()
        }
        write_json(files.metrics(system), figures)
        write_json(files.details(system), details)
        write_text(files.det(system), pd.concat(curves).to_csv(index=False, lineterminator="\n"))


def det_curve(bonafide: np.ndarray, spoof: np.ndarray) -> pd.DataFrame:
    """Return DET points thinned to what a plot can show.

    Returns:
        p_fa, p_miss as fractions; x, y: their probits, the axes of a DET plot. Points at 0 and 1,
        whose probits are infinite, are left out.
    """
    det = detection.det_points(bonafide, spoof)
    inside = (det.p_fa > 0) & (det.p_fa < 1) & (det.p_miss > 0) & (det.p_miss < 1)
    points = pd.DataFrame({"p_fa": det.p_fa[inside], "p_miss": det.p_miss[inside]})
    points = points.assign(x=ndtri(points["p_fa"]), y=ndtri(points["p_miss"]))
    if len(points) > DET_POINTS:
        # Even steps along the curve, not along the trials, keep its ends.
        step = np.hypot(points["x"].diff().fillna(0), points["y"].diff().fillna(0)).cumsum()
        wanted = np.linspace(0, step.iloc[-1], DET_POINTS)
        points = points.iloc[np.unique(np.searchsorted(step, wanted).clip(max=len(step) - 1))]
    return points.reset_index(drop=True)
