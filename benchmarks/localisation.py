"""Time and memory of the metrics of frames at the size of PartialSpoof's evaluation set.

    python -m benchmarks.localisation [--utterances N] [--frames N] [--resamples N] [--workers N]
                                      [--resolutions SECONDS,...]

71,237 utterances of 20 ms frames, about 12 million. For the EER by duration and the segment EER of
each resolution, the point and a bootstrap over utterances. The last line is one JSON object; times
in seconds (`cpu`: of all threads), memory in 2**30 bytes.
"""

import argparse
import json
import os
import resource
import time

# Threads of a BLAS would come on top of the workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from mixframe.metrics.bootstrap import Settings, interval
from mixframe.metrics.localisation import Timeline, nanoseconds
from mixframe.metrics.regionfiles import FrameScores
from mixframe.metrics.scorecard import COSTS

STEP = nanoseconds(0.02, "step")
LEVEL = 0.95


def made_up(n_utterances: int, mean_frames: int) -> tuple[pd.DataFrame, FrameScores]:
    """Return labels and scores; nine utterances of ten have one to three fake parts."""
    rng = np.random.default_rng(0)
    counts = rng.integers(mean_frames // 2, mean_frames * 3 // 2 + 1, n_utterances)
    names = [f"u{i:06d}" for i in range(n_utterances)]
    n_regions = np.where(rng.random(n_utterances) < 0.1, 0, rng.integers(1, 4, n_utterances))
    regions, fake = [], np.zeros(int(counts.sum()), dtype=bool)
    begin = 0
    for count, n in zip(counts.tolist(), n_regions.tolist(), strict=True):
        edges = np.unique(rng.integers(0, count * STEP, 2 * n))
        edges = edges[: edges.size // 2 * 2]
        regions.append(edges.tolist())
        for start, end in edges.reshape(-1, 2) // STEP:
            fake[begin + start : begin + end + 1] = True
        begin += count
    scores = rng.normal(2, 1.5, fake.size) - 3 * fake
    truth = pd.DataFrame({"utterance": names, "duration": counts * STEP, "regions": regions})
    return truth, FrameScores(names, counts, None, scores)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=71_237)
    parser.add_argument("--frames", type=int, default=168, help="of an utterance, on the average")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resolutions", default="0.02")
    options = parser.parse_args()

    truth, scored = made_up(options.utterances, options.frames)
    print(f"{options.utterances:,} utterances, {scored.scores.size:,} frames")
    settings = Settings(COSTS, "trial", options.resamples, LEVEL, 0, options.workers)
    units = np.arange(options.utterances)

    begun, start = time.process_time(), time.perf_counter()
    line = Timeline(truth, scored, STEP)
    seconds = {"timeline": time.perf_counter() - start}
    kinds = {"by duration": None} | {
        f"segments of {text} s": nanoseconds(float(text), "--resolutions")
        for text in options.resolutions.split(",")
    }
    for name, length in kinds.items():
        start = time.perf_counter()
        pieces = line.pieces if length is None else line.segments(length).pieces
        point = pieces.eer
        middle = time.perf_counter()
        low, high = interval(pieces.resample(units, settings), LEVEL)
        seconds[name] = time.perf_counter() - start
        del pieces
        print(
            f"{name}: EER {point:.5f}, {low:.5f} to {high:.5f}; point {middle - start:.2f} s, "
            f"{options.resamples:,} resamples {time.perf_counter() - middle:.2f} s"
        )
    figures = {
        "utterances": options.utterances,
        "frames": int(scored.scores.size),
        "resamples": options.resamples,
        "workers": options.workers,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "together": round(sum(seconds.values()), 2),
        "cpu": round(time.process_time() - begun, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
