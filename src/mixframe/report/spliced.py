"""How error rates depend on how much of a trial was spliced in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE
from mixframe.metrics import detection
from mixframe.metrics.localisation import quarter

MEASURES = ("share", "longest")
COLUMNS = ["set", "system", "measure", "low", "median", "high", "n_bonafide", "n_spoof", "eer"]


def by_region(runs: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the EER of one system on one set for each quarter of the spliced trials.

    Every quarter stands against all bona fide trials. Trials that are spoofed as a whole are left
    out, and trials with equal values stay together, so that there may be fewer than four.

    Args:
        runs: scored trials, a training a run: label, score, samples and regions.

    Returns:
        rows by measure: share (of the trial that was spliced in) or longest (region, seconds); low,
        median and high (of the quarter's values), n_bonafide, n_spoof and eer, the mean over the
        trainings; no rows where no trial is spliced in part.
    """
    trials = runs[0]
    parts = [[end - start for start, end in manifest.pairs(flat)] for flat in trials["regions"]]
    spliced = (trials["label"] == "spoof").to_numpy() & np.array([len(p) > 0 for p in parts])
    if not spliced.any():
        return []
    bonafide = (trials["label"] == "bonafide").to_numpy()
    values = {
        "share": np.array([sum(p) for p in parts]) / trials["samples"].to_numpy(),
        "longest": np.array([max(p, default=0) for p in parts]) / SAMPLE_RATE,
    }
    rows = []
    for measure in MEASURES:
        place = quarter(values[measure][spliced])
        for number in np.unique(place):
            chosen = np.flatnonzero(spliced)[place == number]
            of_trials = values[measure][chosen]
            rates = [
                detection.eer(scores[bonafide], scores[chosen])
                for scores in (run["score"].to_numpy() for run in runs)
            ]
            rows.append(
                {
                    "measure": measure,
                    "low": float(of_trials.min()),
                    "median": float(np.median(of_trials)),
                    "high": float(of_trials.max()),
                    "n_bonafide": int(bonafide.sum()),
                    "n_spoof": len(chosen),
                    "eer": float(np.mean(rates)),
                }
            )
    return rows
