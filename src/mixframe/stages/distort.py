"""Stage distort: plan which utterances of a set are heard under which distortions.

Reads: results/<preset>/corpus/manifest.parquet, the preset's `robustness` section and `seed`.
Writes: results/<preset>/distort/<set>/plan.parquet.
"""

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.distortions import planning
from mixframe.base.progress import log
from mixframe.experiment.robustness import Trials, need
from mixframe.stages.context import Context, running


def run(context: Context, set_name: str) -> None:
    """Run the stage for one set.

    Raises:
        MixframeError: the preset has no section robustness, or the manifest has no such set.
    """
    section = need(context.preset.robustness, context.name)
    with running(context, "distort", set_name):
        rows = manifest.read(context.files.manifest, [set_name])
        chosen = choose(rows, section.trials, context.preset.seed)
        planned = planning.plan(chosen, section.conditions, context.preset.seed)
        planning.write_plan(planned, context.files.distortion_plan(set_name))
        log(f"  {len(chosen):,} utterances, {len(section.conditions)} conditions and clean")


def choose(rows: pd.DataFrame, trials: Trials, seed: int) -> pd.DataFrame:
    """Draw manifest rows of a set: so many bona fide ones, and so many of each attack.

    Returns:
        the rows drawn, in their order; all of a class or attack that has no more.
    """
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for (label, _), group in rows.groupby(["label", "attack"]):
        count = trials.bonafide if label == "bonafide" else trials.spoof_per_attack
        drawn += rng.permutation(group.index.to_numpy())[:count].tolist()
    return rows.loc[sorted(drawn)]
