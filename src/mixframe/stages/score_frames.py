"""Stage score_frames: the scores of frames of a system that has learnt from frame labels.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/heldout/plan.parquet, results/<preset>/finetune/<system>/<seed>/ and the encoder
under it, the preset's `finetune.<system>`, `encoder` and `score`.
Writes: results/<preset>/scores/<system>/<seed>/located.parquet.
"""

import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import recipes
from mixframe.audio.spoofed import whole_utterances
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import lookup
from mixframe.stages.context import Context, running
from mixframe.stages.systems import check_card, work
from mixframe.training.data import cached_reader
from mixframe.training.frames import by_frame
from mixframe.training.runner import Runner
from mixframe.training.systems.frames import Frames


def run(context: Context, system: str) -> None:
    """Run the stage for one system: the held-out splices, and the sets that it names.

    Raises:
        MixframeError: the system is not trained, has no head that judges frames, or names a set
            that the manifest has not.
    """
    preset, files = context.preset, context.files
    params = lookup(preset.finetune, system, "finetune")
    if not isinstance(params, Frames):
        raise MixframeError(
            f"finetune.{system}: kind {params.kind} has no head that judges frames; expected frames"
        )
    with running(context, "score_frames", f"{system}-{context.seed}"):
        table = manifest.read(files.manifest)
        where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
        heldout = read_plan(files.plan(HELDOUT))
        wanted = {HELDOUT: (heldout["base"], recipes(heldout, where))}
        for name in params.localise:
            rows = table[table["set"] == name]
            if rows.empty:
                raise MixframeError(
                    f"finetune.{system}.localise: {files.manifest} has no set {name!r}; expected "
                    f"some of {', '.join(sorted(table['set'].unique()))}"
                )
            wanted[name] = (rows["utterance"], whole_utterances(rows))
        runner = Runner(context.compute)
        folder = files.finetuned(system)
        check_card(folder)
        todo = work(context, params, f"score_frames {system}")
        detector = params.trained(todo, folder, runner.device)
        parts = []
        for name, (utterances, recipes_of_set) in wanted.items():
            logits, labels = by_frame(
                lambda b: detector.frame_logits(b.waves, b.lengths),
                detector.backbone,
                recipes_of_set,
                preset.score.batch,
                cached_reader(0),
                runner,
            )
            part = {"set": name, "utterance": list(utterances), "labels": labels}
            parts.append(pd.DataFrame({**part, "scores": [-values for values in logits]}))
        with atomic_path(files.located(system)) as temporary:
            pd.concat(parts).to_parquet(temporary, index=False, compression="zstd")
