"""Stage evaluate_robust: what the conditions of a plan do to the systems, beside clean.

The calibration is that of the clean set dev, because that is what is deployed.

Reads: results/<preset>/distort/<set>/plan.parquet, results/<preset>/robust/<system>/<seed>/
<set>.parquet, results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/scores/<system>/<seed>/dev.tsv, the preset's `evaluate`, `seed`,
`robustness.systems` and `robustness.conditions`, seeds of the grid.
Writes: results/<preset>/details/robustness-<set>.{json, parquet}, results/<preset>/metrics/
robustness-<set>.json and results/<preset>/robustness/<set>.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.distortions import planning
from mixframe.audio.distortions.planning import CLEAN, Row
from mixframe.audio.io import encode_flac
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, write_json, write_text
from mixframe.base.tables import Columns, read_parquet
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid
from mixframe.experiment.robustness import need
from mixframe.experiment.scored import DEV, read_runs, settings
from mixframe.metrics import calibration, robustness, scorefiles
from mixframe.metrics.detection import eer_threshold
from mixframe.metrics.tables import robustness_markdown
from mixframe.stages.context import Context, running

SCORES: Columns = {"condition": "text", "utterance": "text", "score": "number"}


def run(context: Context, set_name: str, grid: Grid) -> None:
    """Evaluate the systems of the preset on one set.

    Raises:
        MixframeError: scores are missing, or are not of the trials of the plan.
    """
    preset, files = context.preset, context.files
    section = need(preset.robustness, context.name)
    with running(context, "evaluate_robust", set_name):
        plan = planning.read_plan(files.distortion_plan(set_name))
        table = manifest.read(files.manifest, [set_name, DEV])
        chosen = {row.utterance for row in plan}
        trials = table[(table["set"] == set_name) & table["utterance"].isin(chosen)]
        systems = {
            system: _read(files, trials, system, set_name, grid.seed) for system in section.systems
        }
        fitted = {
            system: [
                calibration.fit(*scorefiles.by_class(run))
                for run in read_runs(files, table, system, DEV, grid)
            ]
            for system in section.systems
        }
        how = settings(preset.evaluate, preset.seed, context.compute.workers)
        details = robustness.evaluate(systems, CLEAN, fitted, how)
        counts = trials["label"].value_counts()
        details["trials"] = {label: int(counts[label]) for label in ("bonafide", "spoof")}
        details["chains"] = {
            name: planning.as_chain(one) for name, one in section.conditions.items()
        }
        write_json(files.robust_details(set_name), details)
        brief = {
            system: {key: entry[key]["eer"] for key in ("clean", "mean", "worst")}
            for system, entry in details["systems"].items()
        }
        write_json(files.robust_metrics(set_name), brief)
        write_text(files.robust_table(set_name), robustness_markdown(details))
        rows = {(row.utterance, row.condition): row for row in plan}
        worst = [
            _example(system, systems[system], str(entry["worst"]["condition"]), rows)
            for system, entry in details["systems"].items()
        ]
        with atomic_path(files.robust_examples(set_name)) as temporary:
            pd.DataFrame(worst).to_parquet(temporary, index=False, compression="zstd")


def _read(
    files: Layout, trials: pd.DataFrame, system: str, set_name: str, seeds: Sequence[int]
) -> dict[str, list[pd.DataFrame]]:
    """Return the scored trials of a system by condition, a table a training.

    Raises:
        MixframeError: a file is missing, or a condition has not exactly one score a trial.
    """
    keys = trials.rename(columns={"utterance": "trial"})
    runs: dict[str, list[pd.DataFrame]] = {}
    for seed in seeds:
        path = replace(files, seed=seed).robust_scores(system, set_name)
        scores = read_parquet(path, SCORES, "score_robust").rename(columns={"utterance": "trial"})
        for condition, of_condition in scores.groupby("condition", sort=False):
            try:
                aligned = scorefiles.align(of_condition[["trial", "score"]], keys)
            except MixframeError as error:
                raise MixframeError(f"{path}: condition {condition}: {error}") from error
            runs.setdefault(str(condition), []).append(aligned)
    return runs


def _example(
    system: str,
    scored: Mapping[str, Sequence[pd.DataFrame]],
    condition: str,
    rows: Mapping[tuple[str, str], Row],
) -> dict[str, Any]:
    """Return the trial of the first training whose score moved furthest to the wrong side.

    Trials that were right when clean, and are wrong now, come before all others.

    Returns:
        system, condition, utterance, label, attack; clean_score, score, threshold (at the clean
        EER); clean and distorted: FLAC, b"" for a condition that is not in the plan.
    """
    before, after = scored[CLEAN][0], scored[condition][0]
    threshold = eer_threshold(*scorefiles.by_class(before))
    spoof = (before["label"] == "spoof").to_numpy()
    clean_score, score = before["score"].to_numpy(), after["score"].to_numpy()
    moved = np.where(spoof, score - clean_score, clean_score - score)
    broken = ((clean_score > threshold) != spoof) & ((score > threshold) == spoof)
    trial = int(np.where(broken, moved, moved - np.ptp(moved) - 1).argmax())
    utterance = str(before["trial"].iloc[trial])
    sounds = [rows.get((utterance, name)) for name in (CLEAN, condition)]
    clean, distorted = (
        encode_flac(planning.render(row)) if row is not None else b"" for row in sounds
    )
    return {
        "system": system,
        "condition": condition,
        "utterance": utterance,
        "label": str(before["label"].iloc[trial]),
        "attack": str(before["attack"].iloc[trial]),
        "clean_score": float(clean_score[trial]),
        "score": float(score[trial]),
        "threshold": threshold,
        "clean": clean,
        "distorted": distorted,
    }
