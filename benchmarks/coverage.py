"""How often the bootstrap interval of the EER holds the true EER, by simulation.

    python -m benchmarks.coverage [--sets N] [--resamples N] [--workers N]

Bona fide scores are N(d, 1), spoof scores N(0, 1), so the EER is Phi(-d / 2). Two kinds of data:

- independent trials, resampled by trial;
- trials of speakers: a speaker's bona fide scores share one shift, their spoof scores another,
  both N(0, r), and the rest of the variance, 1 - r, is each trial's own. The true EER over all
  speakers is unchanged. Resampled by speaker and, wrongly, by trial.

Then two levels (`mixframe.metrics.seeds`), of data of the demo's size: 1,000 trials of 100 prompts
and 3 or 5 trainings of each of two systems of the same true EER. A training's own EER is
N(EER, sd). Of a score's variance of 1 the prompt has PROMPT_SHARE, shared by all systems, the trial
TRIAL_SHARE, shared too, and the rest is drawn anew for each training. Three intervals are made of
one system's EER, and of the difference of the two, whose true value is 0:

- both: `two_level`, what the summary has;
- trials: percentiles of the bootstrap of the mean, as if these trainings were all there are;
- drawn: percentiles where trainings are drawn with replacement as the trials are.

The standard error of a share of N sets is given with it. The last line is one JSON object.
"""

import argparse
import json
import time
from statistics import NormalDist

import numpy as np

from mixframe.metrics.bootstrap import Settings, interval, resample, resample_runs
from mixframe.metrics.detection import DcfCosts, FloatArray, IntArray
from mixframe.metrics.registry import EER
from mixframe.metrics.seeds import two_level

SEPARATION = 2.5
SPEAKERS, BONAFIDE_EACH, SPOOF_EACH = 60, 10, 30
SPEAKER_VARIANCE = 0.3
PROMPTS, BONAFIDE_OF_PROMPT, SPOOF_OF_PROMPT = 100, 4, 6
PROMPT_SHARE, TRIAL_SHARE = 0.1, 0.5
TRAININGS = (3, 5)
DEMO_LIKE = ((0.05, 0.01), (0.15, 0.02), (0.30, 0.03))
"""True EER, and the standard deviation of a training's own, as fractions."""
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


def draw_systems(
    rng: np.random.Generator, eer: float, deviation: float
) -> tuple[dict[str, list[tuple[FloatArray, FloatArray]]], tuple[IntArray, IntArray]]:
    """Return the scores of the trainings of two systems, and the prompts of both classes."""
    prompts = [np.repeat(np.arange(PROMPTS), n) for n in (BONAFIDE_OF_PROMPT, SPOOF_OF_PROMPT)]
    shared = [
        rng.normal(0, PROMPT_SHARE**0.5, PROMPTS)[p] + rng.normal(0, TRIAL_SHARE**0.5, p.size)
        for p in prompts
    ]
    own = (1 - PROMPT_SHARE - TRIAL_SHARE) ** 0.5
    systems = {}
    for name in ("first", "second"):
        runs = []
        for rate in rng.normal(eer, deviation, max(TRAININGS)).clip(0.001, 0.5).tolist():
            separation = -2 * NormalDist().inv_cdf(rate)
            bonafide, spoof = (part + rng.normal(0, own, part.size) for part in shared)
            runs.append((bonafide + separation, spoof))
        systems[name] = runs
    return systems, (prompts[0], prompts[1])


def drawn(values: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval where trainings are drawn with replacement too."""
    n, resamples = values.shape
    chosen = rng.integers(0, n, (n, resamples))
    return interval(np.take_along_axis(values, chosen, axis=0).mean(axis=0), LEVEL)


def two_level_coverage(
    eer: float, deviation: float, sets: int, resamples: int, workers: int
) -> dict[str, float]:
    """Return the share of intervals that hold the true value, by figure, trainings and kind."""
    held: dict[str, int] = {}
    for index, child in enumerate(np.random.SeedSequence(1).spawn(sets)):
        rng = np.random.default_rng(child)
        systems, groups = draw_systems(rng, eer, deviation)
        settings = Settings(COSTS, "prompt", resamples, LEVEL, index, workers)
        values = resample_runs(systems, [EER], settings, groups)
        first, second = (values[name][EER.key] for name in systems)
        for figure, runs, truth in (("eer", first, eer), ("difference", first - second, 0.0)):
            for n in TRAININGS:
                both = two_level([runs[:n]], PROMPTS)
                assert both is not None
                for kind, (low, high) in (
                    ("both", both.interval(LEVEL)),
                    ("trials", interval(runs[:n].mean(axis=0), LEVEL)),
                    ("drawn", drawn(runs[:n], rng)),
                ):
                    key = f"{figure}_{n}_{kind}"
                    held[key] = held.get(key, 0) + (low <= truth <= high)
    return {key: count / sets for key, count in held.items()}


def main() -> None:
    """Run the simulation and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=200)
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
    for eer, deviation in DEMO_LIKE:
        shares = two_level_coverage(
            eer, deviation, options.sets, options.resamples, options.workers
        )
        for key, share in shares.items():
            print(f"EER {eer:.2f}, sd {deviation:.2f}, {key}: {100 * share:.1f} %")
            figures[f"{key}_{eer:.2f}"] = round(share, 4)
    figures["seconds"] = round(time.perf_counter() - start, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
