"""Stage code: fingerprints of the code that each cell of the pipeline runs.

Reads: src/mixframe/, dvc.yaml, params.yaml and the preset.
Writes: results/<preset>/code/<stage>/<system>, a hash of each module by its name. Removes what
cells wrote that are no longer in the grid; DVC's cache keeps it.
"""

from mixframe.experiment import dag
from mixframe.stages.context import Context, running


def run(context: Context) -> None:
    """Run the stage.

    Raises:
        MixframeError: DVC cannot read the pipeline, or the preset is not valid.
    """
    with running(context, "code"):
        dag.write_code()
