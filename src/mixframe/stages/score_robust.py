"""Stage score_robust: the scores of one system on a set under every condition of its plan.

Audio is made from the plan while it is scored, and none is kept.

Reads: results/<preset>/distort/<set>/plan.parquet, results/<preset>/corpus/audio.tar,
results/<preset>/finetune/<system>/<seed>/ and the encoder under it, the preset's
`finetune.<system>`, `score` and `robustness.conditions`.
Writes: results/<preset>/robust/<system>/<seed>/<set>.parquet, condition, utterance and score.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import pandas as pd

from mixframe.audio.distortions import planning
from mixframe.audio.distortions.planning import CLEAN, Row
from mixframe.audio.io import AudioRef, Waveform
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.pools import ordered, processes
from mixframe.base.progress import progress
from mixframe.experiment.params import lookup
from mixframe.experiment.robustness import Robustness, need
from mixframe.stages.context import Context, running
from mixframe.stages.systems import check_card, work
from mixframe.training.systems.system import Scorer

CHUNK = 256
"""Utterances of a condition that are scored at once; as many more are made meanwhile."""


def run(context: Context, system: str, set_name: str) -> None:
    """Run the stage for one system and one set.

    Raises:
        MixframeError: the system is not trained, its files changed since, the plan is of other
            conditions, or what a distortion says.
    """
    section = need(context.preset.robustness, context.name)
    files = context.files
    params = lookup(context.preset.finetune, system, "finetune")
    cell = f"{system}-{context.seed}-{set_name}"
    with running(context, "score_robust", cell):
        plan = planning.read_plan(files.distortion_plan(set_name))
        _check(plan, section, str(files.distortion_plan(set_name)))
        folder = files.finetuned(system)
        check_card(folder)
        scorer = params.scorer(work(context, params, ""), folder)
        parts = []
        # What is heard under a condition that is not in the plan comes behind it in the same way.
        heard = rendered(plan, context.compute.workers)
        for condition, waves in progress(heard, len(_chunks(plan)), f"score_robust {cell}"):
            scores = score(scorer, waves)
            parts.append(
                pd.DataFrame({"condition": condition, "utterance": [*waves], "score": scores})
            )
        with atomic_path(files.robust_scores(system, set_name)) as temporary:
            pd.concat(parts).to_parquet(temporary, index=False, compression="zstd")


def rendered(plan: Sequence[Row], workers: int) -> Iterator[tuple[str, dict[str, Waveform]]]:
    """Make the audio of a plan in worker processes, ahead of who listens.

    Yields:
        a condition, and `CHUNK` or fewer of its utterances: (n,) float32 at 16 kHz by name, in the
        order of the plan.
    """
    with processes(workers) as pool:
        made = ordered(pool, planning.render, plan, CHUNK)
        for rows in _chunks(plan):
            yield rows[0].condition, {row.utterance: next(made) for row in rows}


def score(scorer: Scorer, waves: dict[str, Waveform]) -> list[float]:
    """Score utterances in memory, in their order; higher = more bona fide."""

    def read(ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
        return waves[ref.path][start:][:n_samples]

    sizes = [wave.size for wave in waves.values()]
    return scorer([AudioRef(name) for name in waves], sizes, read).tolist()


def _chunks(plan: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of a plan, those of a condition in pieces of `CHUNK`."""
    chunks = []
    for _, group in groupby(plan, key=lambda row: row.condition):
        rows = list(group)
        chunks += [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    return chunks


def _check(plan: Sequence[Row], section: Robustness, where: str) -> None:
    """Check that a plan is of the preset's conditions.

    Raises:
        MixframeError: the first condition that is another one, or is not in both.
    """
    expected = {CLEAN: ""}
    expected |= {name: planning.as_chain(one) for name, one in section.conditions.items()}
    planned = {row.condition: row.chain for row in plan}
    for name in dict.fromkeys([*expected, *planned]):
        if planned.get(name) != expected.get(name):
            raise MixframeError(
                f"{where}: condition {name} is {planned.get(name)}, in robustness.conditions "
                f"{expected.get(name)}; run `dvc repro` to bring them together"
            )
