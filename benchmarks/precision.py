"""What bf16 changes in scores: `python -m benchmarks.precision PRESET [SEED]`.

Scores each evaluation set with every trained neural system, in fp32 and as
`score.precision: bf16` has it, also on a CPU that does not multiply in it. Prints both EERs in %
and the largest change of a score, in standard deviations of the scores.
"""

import sys
from dataclasses import replace
from unittest.mock import patch

from mixframe.audio import manifest
from mixframe.experiment.params import lookup
from mixframe.metrics import detection
from mixframe.stages.context import open_context
from mixframe.stages.systems import work
from mixframe.training import runner
from mixframe.training.systems.neural import Neural


def main() -> None:
    """Print a table."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    name, seed = [*sys.argv[1:], "1"][:2]
    context = open_context(name, {}, seed=int(seed))
    table = manifest.read(context.files.manifest)
    print("| system | set | EER, fp32 | EER, bf16 | largest change |\n|---|---|---|---|---|")
    for system in context.grid.system:
        params = lookup(context.preset.finetune, system, "finetune")
        if not isinstance(params, Neural):
            continue
        given = work(context, params, system)
        scoring = given.scoring.model_copy(update={"precision": "bf16"})
        rounded = replace(given, scoring=scoring)
        folder = context.files.finetuned(system)
        for of_set in context.grid.set:
            rows = table[table["set"] == of_set]
            bonafide = (rows["label"] == "bonafide").to_numpy()
            exact = params.score(given, folder, rows)
            with patch.object(runner, "multiplies_bf16", lambda: True):
                near = params.score(rounded, folder, rows)
            eers = [100 * detection.eer(s[bonafide], s[~bonafide]) for s in (exact, near)]
            change = abs(exact - near).max() / exact.std()
            figures = f"{eers[0]:.2f} | {eers[1]:.2f} | {change:.3f}"
            print(f"| {system} | {of_set} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
