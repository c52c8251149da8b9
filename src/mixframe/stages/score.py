"""Stage score: one countermeasure score for every trial of one evaluation set.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/finetune/<system>/<seed>/ and the encoder under it, the preset's
`finetune.<system>` and `score`.
Writes: results/<preset>/scores/<system>/<seed>/<set>.tsv in the ASVspoof 5 format.
"""

from mixframe.audio import manifest
from mixframe.base.progress import is_main
from mixframe.experiment.params import lookup
from mixframe.metrics import scorefiles
from mixframe.stages.context import Context, parallel, running
from mixframe.stages.systems import check_card, work


@parallel
def run(context: Context, system: str, set_name: str) -> None:
    """Run the stage for one system and one set.

    Raises:
        MixframeError: the system is not trained, its files changed since, the set is empty, or a
            score is not finite.
    """
    preset, files = context.preset, context.files
    params = lookup(preset.finetune, system, "finetune")
    with running(context, "score", f"{system}-{context.seed}-{set_name}"):
        rows = manifest.read(files.manifest, [set_name])
        folder = files.finetuned(system)
        check_card(folder)
        scores = params.score(work(context, params, f"score {system}"), folder, rows)
        if is_main():
            path = files.scores(system, set_name)
            scorefiles.write_scores(path, rows["utterance"].tolist(), scores)
