"""What audio files hold: length, rate, channels, and whether they can be used at all.

Files are probed in parallel and each result is appended to a cache at once, so a killed run goes on
with what is left. A result holds as long as the file has the same size and time of change.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from mixframe.audio.io import SAMPLE_RATE, AudioRef, decode_flac, header_problem
from mixframe.base import pools
from mixframe.base.errors import MixframeError
from mixframe.base.files import stage_lock
from mixframe.base.progress import log, progress

BLOCK = 2**18
"""Samples decoded at once."""
CHUNK = 64
"""Files a worker takes at once."""


class Probed(NamedTuple):
    """What one file holds.

    Attributes:
        samples: length after conversion to 16 kHz.
        rate: Hz, as recorded.
        channels: as recorded.
        problem: why the file cannot be used; "" if it can.
    """

    samples: int
    rate: int
    channels: int
    problem: str


class Target(NamedTuple):
    """A file to probe; `size` and `changed` (ns) are those of the file that `ref` points into."""

    ref: AudioRef
    size: int
    changed: int


def target(ref: AudioRef, info: os.stat_result) -> Target:
    """Return what to probe; `info` is of the file that `ref` points into."""
    return Target(ref, info.st_size, info.st_mtime_ns)


def probe(
    targets: Sequence[Target], cache: Path, decode: bool, workers: int, what: str
) -> list[Probed]:
    """Probe files; results are in the order of `targets` and the same for any number of workers.

    Args:
        cache: file with the results so far; a line each, `Target` and `decode` first.
        decode: whether to decode every file to its end. Without, headers are believed, and a
            file that is cut or not finite shows only when it is used.
        workers: processes.
        what: title of the progress.

    Raises:
        MixframeError: another process is probing with this cache, or a worker died.
    """
    with stage_lock(cache.with_suffix(".lock"), what):
        known = _read_cache(cache)
        keys = [_key(target, decode) for target in targets]
        todo = [i for i, key in enumerate(keys) if key not in known]
        done = len(targets) - len(todo)
        if done:
            log(f"  {what}: {done:,} of {len(targets):,} files are known from an earlier run")
        if todo:
            chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
            batches = ([targets[i].ref for i in chunk] for chunk in chunks)

            def steps(results: Iterable[list[Probed]]) -> Iterator[None]:
                with cache.open("a", encoding="utf-8") as stream:
                    for chunk, probed in zip(chunks, results, strict=True):
                        rows = [(keys[i], one) for i, one in zip(chunk, probed, strict=True)]
                        known.update(rows)
                        stream.write("".join(f"{json.dumps([*k, *one])}\n" for k, one in rows))
                        stream.flush()
                        yield from (None for _ in rows)

            stored = steps(_run(batches, decode, min(workers, len(chunks))))
            for _ in progress(stored, len(targets), what, "files", initial=done):
                pass
    return [known[key] for key in keys]


Key = tuple[str, int, int, int, int, bool]


def _key(target: Target, decode: bool) -> Key:
    ref = target.ref
    return ref.path, ref.offset, ref.n_bytes, target.size, target.changed, decode


def _read_cache(cache: Path) -> dict[Key, Probed]:
    """Read the results so far; a line that a kill left unfinished is cut off."""
    if not cache.is_file():
        return {}
    data = cache.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(cache, whole)
    known = {}
    for line in data[:whole].splitlines():
        *key, samples, rate, channels, problem = json.loads(line)
        known[tuple(key)] = Probed(samples, rate, channels, problem)
    return known


def _run(batches: Iterable[list[AudioRef]], decode: bool, workers: int) -> Iterator[list[Probed]]:
    """Probe batches in order, a bounded number of them under way."""
    if workers <= 1:
        yield from (_probe_each(batch, decode) for batch in batches)
        return
    with pools.processes(workers) as pool:
        yield from pools.ordered(pool, partial(_probe_each, decode=decode), batches, 4 * workers)


def _probe_each(refs: Sequence[AudioRef], decode: bool) -> list[Probed]:
    return [probe_one(ref, decode) for ref in refs]


def probe_one(ref: AudioRef, decode: bool) -> Probed:
    """Probe one file in this process; see `probe`."""
    try:
        data = ref.open()
    except MixframeError as error:
        return Probed(0, 0, 0, str(error))
    try:
        with soundfile.SoundFile(data) as stream:
            rate, channels = stream.samplerate, stream.channels
            length, problem = _decode(stream) if decode else (stream.frames, "")
    except soundfile.LibsndfileError as error:
        decoded = decode_flac(data.getvalue())
        if decoded is None:
            return Probed(0, 0, 0, f"not decodable: {error}")
        (length, channels), rate, problem = decoded[0].shape, decoded[1], ""
    problem = problem or header_problem(rate, channels, length)
    if not problem and length <= 0:
        problem = "no samples"
    # As many as torchaudio's resampling makes of them.
    return Probed(-(-length * SAMPLE_RATE // rate), rate, channels, problem)


def _decode(stream: soundfile.SoundFile) -> tuple[int, str]:
    """Return how many samples a file really has, and what is wrong with them."""
    length = 0
    while True:
        block = stream.read(BLOCK, dtype="float32", always_2d=True)
        if not len(block):
            break
        length += len(block)
        if not np.isfinite(block).all():
            return length, "samples that are not finite"
    # The header of an MP3 only estimates its length.
    if length < stream.frames and stream.format != "MP3":
        return length, f"cut: {length:,} of {stream.frames:,} samples"
    return length, ""
