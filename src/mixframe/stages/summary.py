"""Stage summary: the result table of all systems, and which of their differences are supported.

A row that the preset fuses (`evaluate.fuse`) is fitted to the dev scores of each training, and is
in the table alone.

A difference is supported where it survives other trials, and other trials and trainings together;
with one seed none is.

Reads: results/<preset>/corpus/manifest.parquet, figures, cards and scores of all systems, the
preset's `evaluate` section and `seed`, the grid.
Writes: results/<preset>/summary/{summary.json, comparisons.csv, table.md, table.tex}.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_object, write_json, write_text
from mixframe.experiment.params import Grid
from mixframe.experiment.scored import read_runs, settings
from mixframe.metrics import evaluation, fusion
from mixframe.metrics.tables import latex, markdown
from mixframe.stages.card import read_card
from mixframe.stages.context import Context, running


def run(context: Context, grid: Grid) -> None:
    """Write the result table of all systems, and which of their differences are supported.

    Raises:
        MixframeError: the figures or the scores of a system are missing.
    """
    preset, files = context.preset, context.files
    with running(context, "summary"):
        systems: dict[str, Any] = {}
        for system in grid.system:
            card = read_card(replace(files, seed=grid.seed[0]).finetuned(system))
            systems[system] = {
                "isa": card.isa,
                "trainable_parameters": card.parameters.trainable,
                "total_parameters": card.parameters.total,
                "sets": read_object(files.metrics(system)),
                "frames": (
                    read_object(files.frame_metrics(system)) if system in grid.posttrained else {}
                ),
            }
        summary = {
            "preset": context.name,
            "seeds": grid.seed,
            "sets": grid.set,
            "systems": systems,
        }
        missing = [
            f"{system} on {name}"
            for system, entry in systems.items()
            for name in grid.set
            if name not in entry["sets"]
        ]
        if missing:
            raise MixframeError(f"no figures for {', '.join(missing)}; run `dvc repro`")
        if preset.evaluate.fuse:
            summary["fused"] = {
                name: _fused(context, grid, members, [systems[member] for member in members])
                for name, members in preset.evaluate.fuse.items()
            }
        table = manifest.read(files.manifest, grid.set)
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        compared = pd.concat(
            [
                evaluation.differences(
                    {s: read_runs(files, table, s, name, grid) for s in grid.system}, how
                ).assign(set=name)
                for name in grid.set
            ]
        )
        columns = ["set", *(c for c in compared if c != "set")]
        write_text(files.comparisons, compared[columns].to_csv(index=False, lineterminator="\n"))
        write_json(files.summary, summary)
        write_text(files.table, markdown(summary))
        write_text(files.table_latex, latex(summary))


def _fused(
    context: Context, grid: Grid, members: Sequence[str], entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the row of a fusion, fitted on dev for each seed; `entries` are those of its members.

    Raises:
        MixframeError: dev scores are separated without an error; as `fusion.fit`.
    """
    files, preset = context.files, context.preset
    table = manifest.read(files.manifest, ["train", "dev", *grid.set])
    trained = table.loc[(table["set"] == "train") & (table["label"] == "spoof"), "attack"]
    how = settings(preset.evaluate, preset.seed, context.compute.workers)

    def runs(name: str) -> list[pd.DataFrame]:
        """Return the trials of a set, a table a seed, with a column of scores a member."""
        by_member = [read_runs(files, table, member, name, grid) for member in members]
        return [
            one[0].assign(**{str(i): run["score"].to_numpy() for i, run in enumerate(one)})
            for one in zip(*by_member, strict=True)
        ]

    columns = [str(number) for number in range(len(members))]
    fitted = []
    for run in runs("dev"):
        bonafide = (run["label"] == "bonafide").to_numpy()
        scores = run[columns].to_numpy(np.float64)
        fitted.append(fusion.fit(scores[bonafide], scores[~bonafide]))
    sets = {}
    for name in grid.set:
        scored = [
            run.assign(score=fused(run[columns].to_numpy(np.float64)))
            for run, fused in zip(runs(name), fitted, strict=True)
        ]
        pooled = evaluation.pooled(scored, how)
        sets[name] = {
            **evaluation.brief(pooled),
            **evaluation.by_novelty(scored, set(trained), how),
        }
    return {
        "systems": list(members),
        "weights": [list(fused.weights) for fused in fitted],
        "offsets": [fused.offset for fused in fitted],
        "trainable_parameters": sum(entry["trainable_parameters"] for entry in entries),
        "total_parameters": sum(entry["total_parameters"] for entry in entries),
        "sets": sets,
        "frames": {},
    }
