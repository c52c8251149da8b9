"""Stage evaluate_frames."""

from mixframe.experiment.params import Grid
from mixframe.stages.context import Context
from mixframe.stages.evaluate import run_frames


def run(context: Context, system: str, grid: Grid) -> None:
    """Run."""
    run_frames(context, system, grid)
