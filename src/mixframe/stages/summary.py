"""Stage summary."""

from mixframe.experiment.params import Grid
from mixframe.stages.context import Context
from mixframe.stages.evaluate import run_summary


def run(context: Context, grid: Grid) -> None:
    """Run."""
    run_summary(context, grid)
