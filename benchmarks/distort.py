"""Speed of each ready condition on one core: `python -m benchmarks.distort`."""

import json
import os
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np

from mixframe.audio.distortions.conditions import READY, read_conditions
from mixframe.audio.io import SAMPLE_RATE, Waveform

SECONDS = 4.0
REPEATS = 5


def utterance() -> Waveform:
    """Return harmonics of a voice in syllables, and a little noise."""
    at = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 25 * np.sin(4 * at)) / SAMPLE_RATE
    voice = np.sum([np.sin(n * phase + n * n) / n for n in range(1, 30)], axis=0)
    noise = 0.002 * np.random.default_rng(0).standard_normal(at.size)
    return (0.1 * voice * np.clip(np.sin(25 * at), 0, 1) + noise).astype(np.float32)


def main() -> None:
    """Time each condition in seconds of the processor, after a first call that loads libraries."""
    wave = utterance()
    figures = {}
    for name, condition in read_conditions(READY).items():
        condition.apply(wave, np.random.default_rng(0))
        start = time.process_time()
        for seed in range(REPEATS):
            condition.apply(wave, np.random.default_rng(seed))
        figures[name] = SECONDS * REPEATS / (time.process_time() - start)
    for name, speed in figures.items():
        print(f"{name}: {speed:.0f} times real time")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
