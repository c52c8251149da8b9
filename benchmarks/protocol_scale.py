"""How long a protocol of ASVspoof 5's full size takes to become a manifest, and how much memory.

    python -m benchmarks.protocol_scale

Three synthetic protocols with the published numbers of trials (1,004,081 in all) are parsed and
written as one manifest; lengths of the audio are made up, no audio is read. The last line is one
JSON object: seconds, peak_gb (largest resident set of the process) and trials.
"""

import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from mixframe.audio import manifest
from mixframe.corpora.asvspoof5 import CORPUS
from mixframe.corpora.trials import manifest_rows
from mixframe.metrics.trialfiles import parse

TRIALS = {"train": 182_357, "dev": 140_950, "eval": 680_774}


def write_protocol(path: Path, part: str, n_trials: int) -> None:
    """Write a protocol with one bona fide trial in ten."""
    letter = part[0].upper()
    with path.open("w", encoding="utf-8") as stream:
        for i in range(n_trials):
            tail = (
                "- bonafide bonafide" if i % 10 == 0 else f"AC{i % 3 + 1} A{i % 16 + 1:02d} spoof"
            )
            codec = f"C{i % 11:02d} {i % 5} -" if part == "eval" else "- - -"
            stream.write(
                f"{letter}_{i % 400:04d} {letter}_{i:010d} {'FM'[i % 2]} {codec} {tail} -\n"
            )


def main() -> None:
    """Run the measurement and print its figures."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = {part: folder / CORPUS.parts[part].protocol for part in TRIALS}
        for part, path in paths.items():
            write_protocol(path, part, TRIALS[part])
        start = time.perf_counter()
        tables = []
        for part, path in paths.items():
            rows = manifest_rows(parse(path, CORPUS.form, TRIALS[part]))
            audio = CORPUS.parts[part].audio
            tables.append(
                rows.assign(
                    set=part,
                    path=f"data/asvspoof5/{audio}/" + rows["utterance"] + CORPUS.suffix,
                    offset=0,
                    n_bytes=0,
                    samples=range(64_000, 64_000 + len(rows)),
                    source_rate=16_000,
                    source_channels=1,
                )
            )
        manifest.write(pd.concat(tables, ignore_index=True), folder / "manifest.parquet")
        seconds = time.perf_counter() - start
        mb = (folder / "manifest.parquet").stat().st_size / 2**20
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{sum(TRIALS.values()):,} trials, manifest of {mb:.1f} MiB")
    figures = {"seconds": round(seconds, 2), "peak_gb": round(peak, 2)}
    print(json.dumps({**figures, "trials": sum(TRIALS.values())}))


if __name__ == "__main__":
    main()
