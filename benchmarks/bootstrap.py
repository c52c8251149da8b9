"""Time of the point metrics and of the bootstrap at the size of the ASVspoof 5 evaluation set.

    python -m benchmarks.bootstrap [--resamples N] [--workers N] [--naive-resamples N]

Compares with the naive bootstrap, which draws trials, sorts their scores and walks the DET curve
again for each resample. It runs on fewer resamples, in as many threads, and its time is scaled up
to the full number. The last line is one JSON object; times in seconds, memory in 2**30 bytes.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mixframe.metrics.bootstrap import Settings, interval, resample
from mixframe.metrics.detection import (
    DcfCosts,
    FloatArray,
    Sample,
    eer_of_points,
    min_dcf_of_points,
)
from mixframe.metrics.registry import METRICS, point_metrics

N_BONAFIDE, N_SPOOF = 138_688, 542_086
COSTS = DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)
LEVEL = 0.95


def naive_resample(
    bonafide: FloatArray, spoof: FloatArray, child: np.random.SeedSequence
) -> tuple[float, float]:
    """Return EER and minDCF of one resample by trial, sorted anew (scores without ties)."""
    rng = np.random.default_rng(child)
    drawn_bonafide = bonafide[rng.integers(0, bonafide.size, bonafide.size)]
    drawn_spoof = spoof[rng.integers(0, spoof.size, spoof.size)]
    order = np.argsort(np.concatenate((drawn_bonafide, drawn_spoof)), kind="stable")
    is_bonafide = order < bonafide.size
    p_miss = np.cumsum(is_bonafide) / bonafide.size
    p_fa = (spoof.size - np.cumsum(~is_bonafide)) / spoof.size
    return eer_of_points(p_miss, p_fa), min_dcf_of_points(p_miss, p_fa, COSTS)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--naive-resamples", type=int, default=20)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(3, 1, N_BONAFIDE), rng.normal(0, 1, N_SPOOF)
    # The first call pays for imports, which belong to no metric.
    point_metrics(Sample(bonafide[:10], spoof[:10]), COSTS)

    start = time.perf_counter()
    metrics = point_metrics(Sample(bonafide, spoof), COSTS)
    point_seconds = time.perf_counter() - start
    print(f"point metrics of {bonafide.size + spoof.size:,} trials: {point_seconds:.2f} s")

    start = time.perf_counter()
    settings = Settings(COSTS, "trial", options.resamples, LEVEL, 0, options.workers)
    resampled = [metric for metric in METRICS if metric.interval]
    values = resample({"": [(bonafide, spoof)]}, resampled, settings)[""]
    bootstrap_seconds = time.perf_counter() - start
    # The peak so far: the naive method has not run yet.
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.resamples:,} resamples, {options.workers} threads: {bootstrap_seconds:.2f} s, "
        f"peak {peak_gb:.2f} GiB"
    )
    for metric in resampled:
        low, high = interval(values[metric.key], LEVEL)
        print(f"{metric.name} {metrics[metric.key]:.5f}, {low:.5f} to {high:.5f}")

    start = time.perf_counter()
    children = np.random.SeedSequence(0).spawn(options.naive_resamples)
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda child: naive_resample(bonafide, spoof, child), children))
    naive_seconds = time.perf_counter() - start
    naive_seconds *= options.resamples / options.naive_resamples
    print(
        f"naive method: {naive_seconds:.1f} s, scaled from {options.naive_resamples} resamples "
        f"in {options.workers} threads"
    )

    figures = {
        "point_seconds": round(point_seconds, 3),
        "bootstrap_seconds": round(bootstrap_seconds, 2),
        "naive_seconds": round(naive_seconds, 1),
        "ratio": round(naive_seconds / bootstrap_seconds, 2),
        "peak_gb": round(peak_gb, 3),
        "trials": bonafide.size + spoof.size,
        "resamples": options.resamples,
        "naive_resamples": options.naive_resamples,
        "workers": options.workers,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
