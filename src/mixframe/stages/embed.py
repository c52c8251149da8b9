"""Stage embed: what post-training changes in the encoder's last layer, for figures of the report.

Reads: results/<preset>/pretrain/, results/<preset>/posttrain/<system>/<seed>/,
results/<preset>/corpus/{manifest.parquet, audio.tar}, results/<preset>/heldout/plan.parquet, the
preset's `encoder`, `embed` and `score.batch`.
Writes: results/<preset>/details/{embeddings, similarity}-<system>.parquet.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from mixframe.audio import manifest
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import Recipe, as_recorded, recipes
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Embed
from mixframe.models import backbone as backbones
from mixframe.models.backbone import Backbone, encode
from mixframe.stages.context import Context, running
from mixframe.training.data import cached_reader
from mixframe.training.frames import by_frame
from mixframe.training.runner import Runner


def run(context: Context, system: str) -> None:
    """Run the stage for one post-trained encoder.

    Raises:
        MixframeError: an encoder is missing, or the manifest has not the set.
    """
    preset, files = context.preset, context.files
    with running(context, "embed", f"{system}-{context.seed}"):
        table = manifest.read(files.manifest)
        where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
        chosen = choose(table, preset.embed)
        plan = read_plan(files.plan(HELDOUT))
        splices = evenly(plan[plan["injector"] != ""], preset.embed.splices)
        wanted = [*as_recorded(chosen), *recipes(splices, where)]
        runner = Runner(context.compute)
        utterances, matrices = [], []
        for name, folder in (
            ("foundation", files.foundation),
            (system, files.posttrained(system)),
        ):
            encoder = backbones.load(folder, preset.encoder)
            frames, labels = last_layer(encoder, wanted, preset.score.batch, runner)
            means = [values.mean(0) for values in frames[: len(chosen)]]
            known = chosen[["utterance", "label", "attack"]]
            utterances.append(known.assign(encoder=name, embedding=means))
            matrices.append(
                pd.DataFrame(
                    {
                        "splice": range(len(splices)),
                        "utterance": list(splices["base"]),
                        "labels": labels[len(chosen) :],
                        "similarity": [similarity(f).ravel() for f in frames[len(chosen) :]],
                        "encoder": name,
                    }
                )
            )
        _write(utterances, files.embeddings(system))
        _write(matrices, files.similarities(system))


def last_layer(
    encoder: Backbone, wanted: Sequence[Recipe], batch: int, runner: Runner
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the (T, D) last layer and the (T,) int8 labels of each utterance, 1 = injected."""
    model: nn.Module = encoder.model
    model.to(runner.device).eval()
    return by_frame(
        lambda b: encode(encoder, b.waves, b.lengths, all_layers=False)[0],
        encoder,
        wanted,
        batch,
        cached_reader(0),
        runner,
    )


def choose(table: pd.DataFrame, params: Embed) -> pd.DataFrame:
    """Return manifest rows: `params.utterances` of the bona fide ones and of each attack.

    Raises:
        MixframeError: the manifest has no such set.
    """
    rows = table[table["set"] == params.set]
    if rows.empty:
        raise MixframeError(
            f"embed.set = {params.set!r}: expected a set of the manifest, one of "
            f"{', '.join(table['set'].unique())}"
        )
    groups = [evenly(group, params.utterances) for _, group in rows.groupby(["label", "attack"])]
    return pd.concat(groups)


def evenly(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return `count` rows at even steps, or all where there are no more."""
    count = min(count, len(rows))
    return rows.iloc[[len(rows) * (2 * i + 1) // (2 * count) for i in range(count)]]


def similarity(frames: np.ndarray) -> np.ndarray:
    """Return the (T, T) float32 cosines between the (T, D) frames of an utterance."""
    lengths = np.linalg.norm(frames, axis=1, keepdims=True)
    unit = frames / np.maximum(lengths, np.finfo(np.float32).tiny)
    return (unit @ unit.T).astype(np.float32)


def _write(parts: list[pd.DataFrame], path: Path) -> None:
    with atomic_path(path) as temporary:
        pd.concat(parts).to_parquet(temporary, index=False, compression="zstd")
