"""Stage splice: plan the mix-frame splices of one post-trained system, or the held-out ones.

Reads: results/<preset>/corpus/manifest.parquet, the foundation model's config.json (for its frame
grid), the preset's `splice.<policy>` section and the seed of the run; for the policy
heldout that of the preset.
Writes: results/<preset>/splice/<policy>/<seed>/plan.parquet, or heldout/plan.parquet.
"""

from mixframe.audio import manifest
from mixframe.audio.frames import read_grid
from mixframe.audio.splicing import planning
from mixframe.base.progress import log
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import lookup
from mixframe.stages.context import Context, running


def run(context: Context, policy: str) -> None:
    """Run the stage for one policy.

    Raises:
        MixframeError: the policy is not in the preset, or no utterance fits it.
    """
    section = lookup(context.preset.splice, policy, "splice")
    heldout = policy == HELDOUT
    seed = context.preset.seed if heldout else context.seed
    with running(context, "splice", policy if heldout else f"{policy}-{seed}"):
        grid = read_grid(context.files.foundation / "config.json")
        table = manifest.read(context.files.manifest)
        planned = planning.plan(table, section, grid, seed)
        planning.write_plan(planned, context.files.plan(policy))
        injected = int(planned["ends"].map(sum).sum() - planned["starts"].map(sum).sum())
        log(
            f"  {len(planned):,} rows, {(planned['injector'] != '').mean():.0%} spliced, "
            f"{injected / planned['n_samples'].sum():.1%} of all samples injected"
        )
