"""Stage attack: the scores of one system on a set after attacks on it, or on another one.

Reads: results/<preset>/distort/<set>/plan.parquet, results/<preset>/corpus/{manifest.parquet,
audio.tar}, results/<preset>/finetune/<system>/<seed>/ of the system and of those that attacks are
made on, and the encoders under them, the preset's `robustness.adversarial`, `finetune`, `encoder`
and `score`.
Writes: results/<preset>/attacks/<system>/<seed>/<set>.parquet: condition, utterance, score, snr_db
(of the change; inf where there is none).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.distortions import planning
from mixframe.audio.io import Waveform
from mixframe.base.files import atomic_path
from mixframe.base.pools import ordered
from mixframe.base.progress import log, progress
from mixframe.experiment.params import lookup
from mixframe.experiment.robustness import ITSELF, need
from mixframe.stages.context import Context, running
from mixframe.stages.score_robust import score
from mixframe.stages.systems import check_card, work
from mixframe.training.adversarial.attack import Attack, snr_db
from mixframe.training.adversarial.listeners import listener
from mixframe.training.adversarial.moves import attack
from mixframe.training.data import length_batches
from mixframe.training.runner import Runner

if TYPE_CHECKING:
    from mixframe.training.adversarial.attack import Listener


def run(context: Context, system: str, set_name: str) -> None:
    """Run the stage for one system and one set.

    Raises:
        MixframeError: a system is not trained, its files changed since, or no gradient passes
            through it.
    """
    preset, files = context.preset, context.files
    conditions = need(preset.robustness, context.name).adversarial
    cell = f"{system}-{context.seed}-{set_name}"
    with running(context, "attack", cell):
        rows = [r for r in planning.read_plan(files.distortion_plan(set_name)) if not r.chain]
        known = manifest.read(files.manifest, [set_name]).set_index("utterance")["label"]
        labels = known.loc[[row.utterance for row in rows]].tolist()
        waves = [planning.render(row) for row in rows]
        seeds = [row.seed for row in rows]
        runner = Runner(context.compute)
        params = lookup(preset.finetune, system, "finetune")
        makers = {system: _maker(context, system, runner)}
        scorer = params.scorer(work(context, params, ""), files.finetuned(system))
        table: list[tuple[str, str, float, float]] = []
        for name, condition in progress(conditions.items(), len(conditions), f"attack {cell}"):
            other = system if condition.made_on == ITSELF else condition.made_on
            if other not in makers:
                makers[other] = _maker(context, other, runner)
            changed = attacked(
                makers[other], runner, waves, labels, condition.attack, seeds, preset.score.batch
            )
            heard = {row.utterance: wave for row, wave in zip(rows, changed, strict=True)}
            ratios = [snr_db(a, b) for a, b in zip(waves, changed, strict=True)]
            log(f"  {name}: {np.median([r for r in ratios if np.isfinite(r)] or [np.inf]):.1f} dB")
            cells = zip(heard, score(scorer, heard), ratios, strict=True)
            table += [(name, *values) for values in cells]
        with atomic_path(files.attacked(system, set_name)) as temporary:
            made = pd.DataFrame(table, columns=["condition", "utterance", "score", "snr_db"])
            made.to_parquet(temporary, index=False, compression="zstd")


def _maker(context: Context, system: str, runner: Runner) -> "Listener":
    """Return a trained system as a function that gradients pass through."""
    params = lookup(context.preset.finetune, system, "finetune")
    folder = context.files.finetuned(system)
    check_card(folder)
    return listener(params, work(context, params, ""), folder, runner.device)


def attacked(
    maker: "Listener",
    runner: Runner,
    waves: Sequence[Waveform],
    labels: Sequence[str],
    section: Attack,
    seeds: Sequence[int],
    batch: int,
) -> list[Waveform]:
    """Return utterances after an attack, those that it does not target as they are.

    Args:
        waves: (n_i,) float32 at 16 kHz, of values that 16 bits have.
        labels, seeds: of each.
        batch: utterances attacked at once, of similar length.
    """
    rows = [row for row, label in enumerate(labels) if section.targets(label)]
    groups = [
        [rows[i] for i in group]
        for group in length_batches([waves[row].size for row in rows], batch, equal=False)
    ]

    def one(group: Sequence[int]) -> list[Waveform]:
        rngs = [np.random.default_rng(seeds[row]) for row in group]
        heard, classes = [waves[row] for row in group], [labels[row] for row in group]
        return attack(maker, heard, classes, section, rngs, runner.device)

    out = list(waves)
    with ThreadPoolExecutor(runner.threads) as pool:
        for group, made in zip(groups, ordered(pool, one, groups, runner.threads), strict=True):
            for row, wave in zip(group, made, strict=True):
                out[row] = wave
    return out
