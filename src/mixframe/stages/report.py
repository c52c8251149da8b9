"""Stage report: everything on one page, and its figures as files.

The page says which computations of `mixframe fingerprint` depart on the machine that makes it.

Reads: results/<preset>/summary/{summary.json, comparisons.csv}, details/, det/, scores/, curves/,
corpus/{manifest.parquet, audio.tar}, checks/shortcuts.csv, heldout/plan.parquet,
pretrain/config.json; dvc.yaml; paper.yaml; the whole preset; the grid of params.yaml.
Beside published figures stand those of other presets: results/<other>/summary/summary.json, and for
the intervals of gaps and reductions its scores and manifest, which the pipeline does not know of,
where they are there.
Writes: results/<preset>/report.html and results/<preset>/figures/{det, histograms, calibration,
attacks, codecs, spliced, variants, curves, localisation, regions, votes, embeddings, similarity,
robustness, degradation, dag}.{png, svg, csv}.
"""

from dataclasses import replace

from mixframe.base.files import write_text
from mixframe.base.progress import log
from mixframe.experiment import machine
from mixframe.experiment.params import Grid
from mixframe.report.collect import collect
from mixframe.report.figures import draw
from mixframe.report.files import written
from mixframe.report.render import render
from mixframe.stages.context import Context, fresh_folder, running


def run(context: Context, grid: Grid) -> None:
    """Run the stage.

    Raises:
        MixframeError: an earlier stage's file is missing, or the localiser is not in the grid.
    """
    files = replace(context.files, seed=grid.seed[0])
    with running(context, "report"):
        data = collect(context.name, context.preset, files, grid, machine.departing())
        drawings = draw(data)
        with fresh_folder(files.figure("all").parent) as folder:
            with written(drawings, folder, context.compute.workers):
                page = render(data, drawings)
            write_text(files.report, page)
        log(f"  {files.report}: {files.report.stat().st_size / 2**20:.1f} MiB")
