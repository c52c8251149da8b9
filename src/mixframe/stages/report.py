"""Stage report: everything on one page, and its figures as files.

Reads: results/<preset>/summary/{summary.json, comparisons.csv}, details/, det/, scores/, curves/,
corpus/{manifest.parquet, audio.tar}, checks/shortcuts.csv, heldout/plan.parquet,
pretrain/config.json; dvc.yaml; paper.yaml; the whole preset; the
grid of params.yaml.
Writes: results/<preset>/report.html and results/<preset>/figures/{det, histograms, calibration,
attacks, codecs, curves, localisation, votes, dag}.{png, svg, csv}.
"""

from dataclasses import asdict, replace

import pandas as pd
from matplotlib.figure import Figure

from mixframe.base.files import write_text
from mixframe.base.progress import log
from mixframe.experiment.params import Grid
from mixframe.report import figures
from mixframe.report.collect import Collected, Example, collect
from mixframe.report.figures import Line
from mixframe.report.render import Drawn, render
from mixframe.report.voting import Voting, collect_votes, draw_votes, vote_table
from mixframe.stages.context import Context, fresh_folder, running

CALIBRATION = ["system", "set", "act_dcf", "calibrated_act_dcf", "cllr", "calibrated_cllr"]
"""Columns behind the figure of that name."""


def run(context: Context, grid: Grid) -> None:
    """Run the stage.

    Raises:
        MixframeError: an earlier stage's file is missing, or the localiser is not in the grid.
    """
    files = context.files
    with running(context, "report"):
        files = replace(files, seed=grid.seed[0])
        data = collect(context.name, context.preset, files, grid)
        where = data.localisation
        voting = collect_votes(files, grid, where.examples if where else [])
        systems = figures.lines(grid)
        page = render(data, voting, systems, draw_panels(data, voting, systems))
        with fresh_folder(files.figure("all").parent) as folder:
            for name, (figure, table) in draw_files(data, voting, systems).items():
                (folder / f"{name}.png").write_bytes(figures.to_png(figure))
                write_text(folder / f"{name}.svg", figures.to_svg(figure))
                write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
            write_text(files.report, page)
        log(f"  {files.report}: {files.report.stat().st_size / 2**20:.1f} MiB")


def draw_panels(data: Collected, voting: Voting | None, systems: dict[str, Line]) -> Drawn:
    """Draw the figures panel by panel, for the page."""
    limits = figures.det_limits(data.results)
    where, sets = data.localisation, data.grid.set

    def svg(figure: Figure) -> str:
        return figures.to_svg(figure, text=True)

    return Drawn(
        det={
            name: svg(figures.det(data.det, data.results, systems, [name], limits, False))
            for name in sets
        },
        histograms={
            name: svg(figures.histograms(data.histograms, data.results, [name], sets))
            for name in systems
        },
        calibration={
            name: svg(figures.calibration(data.results, systems, [name])) for name in sets
        },
        training={
            f"{stage}, {name} by {axis}": svg(
                figures.training(data.curves, systems, [(stage, name, axis)], False)
            )
            for stage, name, axis in figures.panels(data.curves)
        },
        examples=[svg(figures.localisation([e], where.threshold, False)) for e in where.examples]
        if where
        else [],
        mistakes={
            i: svg(figures.localisation([mistake.curve], where.threshold, False))
            for i, mistake in enumerate(data.mistakes)
            if where and mistake.curve
        },
        votes=[
            svg(draw_votes(voting, [i], False))
            for i in range(len(voting.examples) if voting else 0)
        ],
        dag=svg(figures.dag(data.pipeline)),
    )


def draw_files(
    data: Collected, voting: Voting | None, systems: dict[str, Line]
) -> dict[str, tuple[Figure, pd.DataFrame]]:
    """Draw the figures whole, each with its data."""
    where, sets = data.localisation, data.grid.set
    limits = figures.det_limits(data.results)
    examples = where.examples if where else []
    shown = figures.panels(data.curves)
    edges = pd.DataFrame([asdict(edge) for edge in data.pipeline.edges])
    return {
        "det": (figures.det(data.det, data.results, systems, sets, limits, True), data.det),
        "histograms": (
            figures.histograms(data.histograms, data.results, list(systems), sets),
            data.histograms,
        ),
        "attacks": (figures.conditions(data.attacks, list(systems), sets), data.attacks),
        "codecs": (figures.conditions(data.codecs, list(systems), sets), data.codecs),
        "calibration": (
            figures.calibration(data.results, systems, sets),
            data.results[CALIBRATION],
        ),
        "curves": (figures.training(data.curves, systems, shown, True), data.curves),
        "localisation": (
            figures.localisation(examples, where.threshold if where else 0.5, True),
            frame_table(examples),
        ),
        "votes": (
            draw_votes(voting, range(len(voting.examples) if voting else 0), True),
            vote_table(voting),
        ),
        "dag": (figures.dag(data.pipeline), edges),
    }


def frame_table(examples: list[Example]) -> pd.DataFrame:
    """Return the frames of the examples: set, utterance, time_s, injected, probability."""
    columns = ["set", "utterance", "time_s", "injected", "probability"]
    rows = [
        (e.set, e.utterance, time, any(s <= time < end for s, end in e.regions), value)
        for e in examples
        for time, value in zip(e.times.tolist(), e.probability.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)
