"""How many audio files are probed a second, and that a killed pass goes on where it was.

    python -m benchmarks.probe_audio [--files N] [--workers N]

Writes N FLAC files of 1 s, starts a pass that decodes each of them, kills it (SIGKILL) when a part
is done, and lets a second one finish. The last line is one JSON object: files_per_second (of the
second pass, process start included), files, kept (results that the kill left) and redone (files
that were probed twice).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mixframe.audio.io import AudioRef, encode_flac
from mixframe.corpora.probe import Target, probe


def write_files(folder: Path, n_files: int) -> None:
    """Write FLAC files of noise; a few recordings under many names."""
    rng = np.random.default_rng(0)
    kinds = [encode_flac(0.1 * rng.standard_normal(16_000)) for _ in range(10)]
    for i in range(n_files):
        (folder / f"{i:06d}.flac").write_bytes(kinds[i % len(kinds)])


def probe_folder(folder: Path, cache: Path, workers: int) -> None:
    """Probe every file of a folder."""
    with os.scandir(folder) as entries:
        found = sorted(((e.path, e.stat()) for e in entries), key=lambda item: item[0])
    targets = [Target(AudioRef(path), s.st_size, s.st_mtime_ns) for path, s in found]
    probe(targets, cache, decode=True, workers=workers, what="probe")


def main() -> None:
    """Run the measurement and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pass", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        probe_folder(options.folder / "flac", options.folder / "cache.jsonl", options.workers)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flac").mkdir()
        write_files(folder / "flac", options.files)
        cache = folder / "cache.jsonl"
        command = [sys.executable, "-m", "benchmarks.probe_audio", "--pass", name]
        command += ["--workers", str(options.workers)]
        killed = subprocess.Popen(command)
        while not cache.is_file() or cache.read_bytes().count(b"\n") < options.files // 4:
            time.sleep(0.1)
        killed.kill()
        killed.wait()
        kept = cache.read_bytes().count(b"\n")
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
        lines = cache.read_bytes().splitlines()
    rate = (options.files - kept) / seconds
    figures = {"files": options.files, "kept": kept, "redone": len(lines) - len(set(lines))}
    print(json.dumps({"files_per_second": round(rate), **figures}))


if __name__ == "__main__":
    main()
