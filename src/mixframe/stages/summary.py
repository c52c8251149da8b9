"""Stage summary: the result table of all systems, and which of their differences are supported.

A difference is supported where it survives other trials, and other trials and trainings together;
with one seed none is.

Reads: results/<preset>/corpus/manifest.parquet, figures, cards and scores of all systems, the
preset's `evaluate` section and `seed`, the grid.
Writes: results/<preset>/summary/{summary.json, comparisons.csv, table.md, table.tex}.
"""

from dataclasses import replace
from typing import Any

import pandas as pd

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_object, write_json, write_text
from mixframe.experiment.params import Grid
from mixframe.experiment.scored import read_runs, settings
from mixframe.metrics import evaluation
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
