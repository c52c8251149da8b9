"""Stage vote: which frames the head of a system votes for, where it is known what was spliced in.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/splice/heldout.parquet, results/<preset>/finetune/<system>/<seed>/ and the encoder
under it, the preset's `finetune.<system>`, `encoder`, `score` and `vote`.
Writes: results/<preset>/scores/<system>/<seed>/votes.parquet and
results/<preset>/details/votes-<system>-<seed>.json.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixframe import manifest
from mixframe.errors import MixframeError
from mixframe.files import atomic_path, write_json
from mixframe.layout import HELDOUT
from mixframe.models.fgfm import FineGrained
from mixframe.params import pick
from mixframe.splicing import Recipe, as_recorded, read_plan, recipes
from mixframe.stages.context import Context, running
from mixframe.systems import trained_detector
from mixframe.training.data import cached_reader, length_batches
from mixframe.training.frames import frame_batch
from mixframe.training.loop import Runner


def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not trained, or its head does not vote.
    """
    preset, files = context.preset, context.files
    params = pick(preset.finetune, system, "finetune")
    with running(context, "vote", f"{system}-{context.seed}"):
        table = manifest.read(files.manifest)
        where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
        heldout = read_plan(files.plan(HELDOUT))
        wanted = {HELDOUT: (heldout["base"], recipes(heldout, where))}
        for name in preset.vote.sets:
            rows = table[table["set"] == name]
            wanted[name] = (rows["utterance"], as_recorded(rows))
        runner = Runner(context.compute)
        detector = trained_detector(preset, files, system, params, runner.device)
        if not isinstance(detector.head, FineGrained):
            raise MixframeError(
                f"finetune.{system}.head.kind = {params.head.kind!r} does not vote; expected one "
                "of conformer_fgfm, transformer_fgfm"
            )
        parts = []
        for name, (utterances, found) in wanted.items():
            chosen, labels = count_votes(detector, found, preset.score.batch, runner)
            part = {"set": name, "utterance": list(utterances), "labels": labels, "chosen": chosen}
            parts.append(pd.DataFrame(part))
        votes = pd.concat(parts, ignore_index=True)
        with atomic_path(files.votes(system)) as temporary:
            votes.to_parquet(temporary, index=False, compression="zstd")
        figures = {str(n): vote_figures(some) for n, some in votes.groupby("set", sort=False)}
        write_json(files.vote_metrics(system), figures)


def count_votes(
    detector: Any, found: Sequence[Recipe], batch: int, runner: Runner
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return, for each recipe, in how many blocks each frame was chosen, and the frame labels.

    Returns:
        (T,) int16 and (T,) int8 arrays in the order of `found`.
    """
    read, backbone = cached_reader(0), detector.backbone
    groups = length_batches([r.n_samples for r in found], batch, not backbone.masks_padding)
    chosen: dict[int, np.ndarray] = {}
    truth: dict[int, np.ndarray] = {}
    for rows in groups:
        part, labels = frame_batch([found[i] for i in rows], backbone, read)
        counts = runner.infer(lambda b: detector.chosen(b.waves, b.lengths), [part])[0]
        for row, label, count in zip(rows, labels, counts, strict=True):
            chosen[row], truth[row] = count[: len(label)].numpy().astype(np.int16), label
    order = range(len(found))
    return [chosen[i] for i in order], [truth[i] for i in order]


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
