"""Stage score: one countermeasure score for every trial of one evaluation set.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/finetune/<system>/<seed>/ and the encoder under it, the preset's
`finetune.<system>` and `score`.
Writes: results/<preset>/scores/<system>/<seed>/<set>.tsv in the ASVspoof 5 format.
"""

from mixframe.audio import manifest
from mixframe.experiment.params import pick
from mixframe.metrics import scorefiles
from mixframe.stages.context import Context, parallel, running
from mixframe.stages.systems import score_system
from mixframe.training.data import cached_reader
from mixframe.training.loop import Runner


@parallel
def run(context: Context, system: str, set_name: str) -> None:
    """Run the stage for one system and one set.

    Raises:
        MixframeError: the system is not trained, the set is empty, or a score is not finite.
    """
    preset, files = context.preset, context.files
    params = pick(preset.finetune, system, "finetune")
    with running(context, "score", f"{system}-{context.seed}-{set_name}"):
        rows = manifest.read(files.manifest, [set_name])
        runner = Runner(context.compute)
        scores = score_system(preset, files, system, params, rows, runner, cached_reader(0))
        if runner.world.main:
            path = files.scores(system, set_name)
            scorefiles.write_scores(path, rows["utterance"].tolist(), scores)
