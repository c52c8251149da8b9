"""Stages code and code_base: fingerprints of the code that each cell of the pipeline runs.

Reads: src/mixframe/, dvc.yaml, params.yaml and the preset.
Writes: results/<preset>/code/<stage>/<system> or results/<preset>/code_base/<stage>, a hash of each
module by its name. Removes what cells wrote that are no longer in the grid; DVC's cache keeps it.
"""

from mixframe.base.progress import log
from mixframe.experiment import dag
from mixframe.experiment.params import grid_differences, read_choice
from mixframe.stages.context import Context, running


def run(context: Context, base: bool) -> None:
    """Run the stage, for the cells of the preset or for those that make its corpus and encoder.

    Raises:
        MixframeError: DVC cannot read the pipeline, or the preset is not valid.
    """
    with running(context, "code"):
        for key, (own, theirs) in grid_differences(read_choice(), context.preset).items():
            log(
                f"  grid.{key} is {own} in params.yaml, which counts, and {theirs} in "
                f"presets/{context.name}.yaml: `mixframe use` takes it over from there"
            )
        dag.write_code(folders=dag.CODE[int(base) :][:1])
