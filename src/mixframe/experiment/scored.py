"""Score files of the grid beside the trials they are of."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from mixframe.base.files import need_file
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid
from mixframe.metrics import detection, scorefiles
from mixframe.metrics.evaluation import Settings
from mixframe.metrics.params import Evaluate

DEV = "dev"
"""The set that calibrates."""


def settings(section: Evaluate, seed: int, workers: int = 1) -> Settings:
    """Return how a preset wants its figures."""
    costs = detection.DcfCosts(section.costs.p_spoof, section.costs.c_miss, section.costs.c_fa)
    drawn = section.bootstrap
    return Settings(costs, drawn.unit, drawn.resamples, drawn.level, seed, workers)


def read_runs(
    files: Layout, table: pd.DataFrame, system: str, name: str, grid: Grid
) -> list[pd.DataFrame]:
    """Return the scored trials of one system on one set, a table a seed of the grid.

    Raises:
        MixframeError: a score file is missing, or does not have exactly one score a trial.
    """
    return read_trainings(files, table, system, name, grid.seed)


def read_trainings(
    files: Layout, table: pd.DataFrame, system: str, name: str, seeds: Sequence[int]
) -> list[pd.DataFrame]:
    """Return what `read_runs` does, of these seeds."""
    trials = table[table["set"] == name].rename(columns={"utterance": "trial"})
    runs = []
    for seed in seeds:
        path = need_file(replace(files, seed=seed).scores(system, name), "score")
        runs.append(scorefiles.align(scorefiles.read_scores(path), trials))
    return runs
