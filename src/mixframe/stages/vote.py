"""Stage vote: which frames a head votes for and attends to, where it is known what was spliced in.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/heldout/plan.parquet, results/<preset>/finetune/<system>/<seed>/ and the encoder
under it, the preset's `finetune.<system>`, `encoder`, `score` and `vote`.
Writes: results/<preset>/scores/<system>/<seed>/votes.parquet and
results/<preset>/details/votes-<system>-<seed>.json.
"""

import numpy as np
import pandas as pd
import torch

from mixframe.audio import manifest
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import as_recorded, recipes
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, write_json
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import lookup
from mixframe.models.heads import HEADS
from mixframe.models.watching import watch
from mixframe.stages.context import Context, running
from mixframe.stages.systems import check_card, work
from mixframe.training.data import cached_reader
from mixframe.training.frames import by_frame
from mixframe.training.runner import Runner


def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not trained, or its head does not vote.
    """
    preset, files = context.preset, context.files
    params = lookup(preset.finetune, system, "finetune")
    if not params.votes_for_frames:
        voting = ", ".join(kind for kind, head in HEADS.items() if head.votes_for_frames)
        raise MixframeError(
            f"finetune.{system}: it has no head that votes for frames; head.kind of those that do: "
            f"{voting}"
        )
    with running(context, "vote", f"{system}-{context.seed}"):
        table = manifest.read(files.manifest)
        where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
        heldout = read_plan(files.plan(HELDOUT))
        wanted = {HELDOUT: (heldout["base"], recipes(heldout, where))}
        for name in preset.vote.sets:
            rows = table[table["set"] == name]
            wanted[name] = (rows["utterance"], as_recorded(rows))
        runner = Runner(context.compute)
        folder = files.finetuned(system)
        check_card(folder)
        detector = params.trained(work(context, params, f"vote {system}"), folder, runner.device)
        parts = []
        for name, (utterances, recipes_of_set) in wanted.items():
            seen, labels = by_frame(
                lambda b: torch.stack(watch(detector, b.waves, b.lengths), dim=-1),
                detector.backbone,
                recipes_of_set,
                preset.score.batch,
                cached_reader(0),
                runner,
            )
            part = {"set": name, "utterance": list(utterances), "labels": labels}
            part["chosen"] = [values[:, 0].astype(np.int16) for values in seen]
            part["attention"] = [values[:, 1] for values in seen]
            parts.append(pd.DataFrame(part))
        votes = pd.concat(parts, ignore_index=True)
        with atomic_path(files.votes(system)) as temporary:
            votes.to_parquet(temporary, index=False, compression="zstd")
        figures = {str(n): vote_figures(rows) for n, rows in votes.groupby("set", sort=False)}
        write_json(files.vote_metrics(system), figures)


def vote_figures(votes: pd.DataFrame) -> dict[str, float | int]:
    """Return how many of the chosen frames lie in injected regions, and how many would by chance.

    Args:
        votes: labels (1 = injected) and chosen of each utterance.

    Returns:
        utterances: spliced ones, over which the rest is taken; share: mean share of an utterance's
        chosen frames that are injected; chance: mean share of its frames that are.
    """
    shares, chances = [], []
    for labels, chosen in zip(votes["labels"], votes["chosen"], strict=True):
        injected = np.asarray(labels) == 1
        if injected.any():
            shares.append(chosen[injected].sum() / chosen.sum())
            chances.append(injected.mean())
    if not shares:
        return {"utterances": 0}
    return {
        "utterances": len(shares),
        "share": float(np.mean(shares)),
        "chance": float(np.mean(chances)),
    }
