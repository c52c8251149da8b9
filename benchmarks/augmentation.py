"""Speed of RawBoost on one core: `python -m benchmarks.augmentation`."""

import json
import os
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np

from mixframe.audio.augmentations.rawboost import RawBoost
from mixframe.audio.io import SAMPLE_RATE
from mixframe.experiment.params import read_preset
from mixframe.training.systems.neural import Neural

SECONDS = 4.0
REPEATS = 20


def main() -> None:
    """Time each algorithm with the published parameters on utterances of four seconds."""
    wave = np.random.default_rng(0).normal(0, 0.1, int(SECONDS * SAMPLE_RATE)).astype(np.float32)
    system = read_preset("asvspoof2019la_fgfm").finetune["conformer_fgfm"]
    assert isinstance(system, Neural)
    published = system.augment
    assert isinstance(published, RawBoost)
    figures = {}
    for algorithm in range(1, 9):
        params = published.model_copy(update={"algorithm": algorithm})
        start = time.perf_counter()
        for seed in range(REPEATS):
            params.apply(wave, np.random.default_rng(seed))
        figures[f"algorithm_{algorithm}"] = SECONDS * REPEATS / (time.perf_counter() - start)
    for name, speed in figures.items():
        print(f"{name}: {speed:.0f} times real time")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
