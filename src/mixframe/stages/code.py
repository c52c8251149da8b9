"""Stages code and code_base: fingerprints of the code that each cell of the pipeline runs.

Reads: src/mixframe/, dvc.yaml, params.yaml and the preset.
Writes: results/<preset>/code/<stage>/<system> or results/<preset>/code_base/<stage>, a hash of each
module by its name. Removes what cells wrote that are no longer in the grid; DVC's cache keeps it.
"""

from typing import Any

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
        if not base:
            differences = grid_differences(read_choice(), context.preset)
            for key, (own, theirs) in differences.items():
                log(f"  grid.{key} of params.yaml counts, and {_difference(own, theirs)}")
            if differences:
                log(f"  `mixframe use {context.name}` takes over the grid of the preset")
        dag.write_code(folders=dag.CODE[int(base) :][:1])


def _difference(own: Any, theirs: Any) -> str:
    """Say how a value of params.yaml's grid differs from the preset's."""
    if not (isinstance(own, list) and isinstance(theirs, list)):
        return f"is {own}, not {theirs} as in the preset"
    parts = [
        f"{verb} {', '.join(str(item) for item in items)}"
        for verb, items in (
            ("leaves out", [item for item in theirs if item not in own]),
            ("adds", [item for item in own if item not in theirs]),
        )
        if items
    ]
    return " and ".join(parts) or f"has another order: {', '.join(str(item) for item in own)}"
