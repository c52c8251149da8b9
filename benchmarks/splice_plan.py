"""How long the splice plan of a training set of ASVspoof 5's size takes, and how large it is.

    python -m benchmarks.splice_plan

The manifest is synthetic: 182,357 utterances of 1 to 12 s by 400 speakers, one in ten bona fide,
each of them base of one splice, with the policy of the preset asvspoof5_mfpt. The last line is one
JSON object: seconds (planning and writing) and mb (size of the file).
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from mixframe.audio.frames import FrameGrid
from mixframe.audio.splicing.planning import plan, write_plan
from mixframe.experiment.params import read_preset

UTTERANCES, SPEAKERS = 182_357, 400


def training_set() -> pd.DataFrame:
    """Return the columns of a manifest that a plan depends on."""
    rng = np.random.default_rng(0)
    names = pd.Series(range(UTTERANCES)).map("T_{:010d}".format)
    return pd.DataFrame(
        {
            "utterance": names,
            "set": "train",
            "label": np.where(np.arange(UTTERANCES) % 10, "spoof", "bonafide"),
            "speaker": rng.integers(0, SPEAKERS, UTTERANCES).astype(str),
            "samples": rng.integers(16_000, 12 * 16_000, UTTERANCES),
        }
    )


def main() -> None:
    """Run the measurement and print its figures."""
    policy = read_preset("asvspoof5_mfpt").splice["mfpt"]
    policy = policy.model_copy(update={"base": "any", "copies": 1})
    grid = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    table = training_set()
    with TemporaryDirectory() as name:
        path = Path(name) / "plan.parquet"
        start = time.perf_counter()
        planned = plan(table, policy, grid, seed=1)
        write_plan(planned, path)
        seconds = time.perf_counter() - start
        mb = path.stat().st_size / 1e6
    print(f"{len(planned):,} rows, {(planned['injector'] != '').mean():.0%} spliced")
    print(json.dumps({"seconds": round(seconds, 2), "mb": round(mb, 2), "rows": len(planned)}))


if __name__ == "__main__":
    main()
