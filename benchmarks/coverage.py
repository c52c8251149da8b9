"""How often the bootstrap interval of the EER holds the true EER, by simulation.

    python -m benchmarks.coverage [--sets N] [--resamples N] [--workers N]

Bona fide scores are N(d, 1), spoof scores N(0, 1), so the EER is Phi(-d / 2). Two kinds of data:

- independent trials, resampled by trial;
- trials of speakers: a speaker's bona fide scores share one shift, their spoof scores another,
  both N(0, r), and the rest of the variance, 1 - r, is each trial's own. The true EER over all
  speakers is unchanged. Resampled by speaker and, wrongly, by trial.

The standard error of a share of N sets is given with it. The last line is one JSON object.
"""

import argparse
import json
import time
from statistics import NormalDist

import numpy as np

from mixframe.metrics.bootstrap import Settings, interval, resample
from mixframe.metrics.detection import DcfCosts, FloatArray, IntArray
from mixframe.metrics.registry import EER

SEPARATION = 2.5
SPEAKERS, BONAFIDE_EACH, SPOOF_EACH = 60, 10, 30
SPEAKER_VARIANCE = 0.3
LEVEL = 0.95
COSTS = DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)


def draw_class(
    rng: np.random.Generator, mean: float, n_each: int, speaker_variance: float
) -> tuple[FloatArray, IntArray]:
    """Return the scores of one class, variance 1, and the speaker number of each."""
    speakers = np.repeat(np.arange(SPEAKERS), n_each)
    shifts = rng.normal(0, np.sqrt(speaker_variance), SPEAKERS)
    own = rng.normal(mean, np.sqrt(1 - speaker_variance), speakers.size)
    return shifts[speakers] + own, speakers


def coverage(
    speaker_variance: float, by_speaker: bool, sets: int, resamples: int, workers: int
) -> tuple[float, float]:
    """Return the share of intervals that hold the true EER and their mean width."""
    truth = NormalDist().cdf(-SEPARATION / 2)
    held, width = 0, 0.0
    for index, child in enumerate(np.random.SeedSequence(0).spawn(sets)):
        rng = np.random.default_rng(child)
        bonafide, speakers_b = draw_class(rng, SEPARATION, BONAFIDE_EACH, speaker_variance)
        spoof, speakers_s = draw_class(rng, 0.0, SPOOF_EACH, speaker_variance)
        settings = Settings(COSTS, "trial", resamples, LEVEL, index, workers)
        groups = (speakers_b, speakers_s) if by_speaker else None
        values = resample({"": [(bonafide, spoof)]}, [EER], settings, groups)
        low, high = interval(values[""][EER.key], LEVEL)
        held += low <= truth <= high
        width += high - low
    return held / sets, width / sets


def main() -> None:
    """Run the simulation and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()

    start = time.perf_counter()
    figures: dict[str, float] = {
        "true_eer": round(NormalDist().cdf(-SEPARATION / 2), 5),
        "level": LEVEL,
        "sets": options.sets,
        "resamples": options.resamples,
        "speakers": SPEAKERS,
        "trials": SPEAKERS * (BONAFIDE_EACH + SPOOF_EACH),
        "standard_error": round((LEVEL * (1 - LEVEL) / options.sets) ** 0.5, 4),
    }
    for name, variance, by_speaker in (
        ("independent_by_trial", 0.0, False),
        ("speakers_by_speaker", SPEAKER_VARIANCE, True),
        ("speakers_by_trial", SPEAKER_VARIANCE, False),
    ):
        held, width = coverage(
            variance, by_speaker, options.sets, options.resamples, options.workers
        )
        print(f"{name}: {100 * held:.1f} % of {options.sets} intervals, mean width {width:.4f}")
        figures[name] = round(held, 4)
        figures[f"{name}_width"] = round(width, 5)
    figures["seconds"] = round(time.perf_counter() - start, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
