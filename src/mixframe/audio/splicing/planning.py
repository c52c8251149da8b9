"""Mix-frame splices: plan them once as a table, render them from the plan whenever they are needed.

A plan row says which part of which base utterance is taken, which regions of it are replaced by
which parts of which injector utterance, and how. Rendering reads only those parts.
"""

import bisect
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mixframe.audio.frames import FrameGrid
from mixframe.audio.io import SAMPLE_RATE
from mixframe.audio.splicing.params import Splice
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.labels import LABELS
from mixframe.base.tables import Columns, read_parquet

COLUMNS: Columns = {
    "base": "text",
    "injector": "text",
    "label": "text",
    "base_start": "int",
    "n_samples": "int",
    "starts": "ints",
    "ends": "ints",
    "sources": "ints",
    "crossfade": "int",
    "gain_db": "number",
}
"""Of a plan, see `plan`."""


@dataclass
class _Pool:
    """Utterances that may inject, shortest first, so that those long enough are a tail of it."""

    lengths: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def draw(self, rng: random.Random, at_least: int, not_row: int) -> int | None:
        """Draw a row of at least that many samples, other than `not_row`; None if there is none."""
        first = bisect.bisect_left(self.lengths, at_least)
        n_fit = len(self.rows) - first
        if n_fit == 0:
            return None
        place = rng.randrange(n_fit)
        row = self.rows[first + place]
        if row == not_row:
            if n_fit == 1:
                return None
            row = self.rows[first + (place + 1 + rng.randrange(n_fit - 1)) % n_fit]
        return row


def _stream(seed: int, *parts: object) -> random.Random:
    """Return a random stream that depends on nothing but the seed and the names of a row."""
    text = "\0".join(str(p) for p in (seed, *parts))
    return random.Random(hashlib.blake2b(text.encode(), digest_size=16).digest())


def plan(table: pd.DataFrame, policy: Splice, grid: FrameGrid, seed: int) -> pd.DataFrame:
    """Plan the splices of one set.

    A row's random choices depend on the seed, its base utterance and its copy number, so that a
    changed corpus leaves the draws of other utterances alone.

    Args:
        table: manifest; base and injector utterances are its rows of `policy.set`.
        policy: which utterances pair up, and how regions lie.
        grid: frames of the encoder; regions are aligned to its hop.

    Returns:
        one row a base utterance and copy: base, injector (utterance ids; injector "" for a row
        without splice), label (of the base), base_start, n_samples (the part of the base that is
        used), starts, ends (regions in samples of that part, half-open), sources (first injector
        sample of each region), crossfade (samples), gain_db (limit of level matching; 0 = off).

    Raises:
        MixframeError: no utterance of the set may serve as base or as injector.
    """
    rows = table[table["set"] == policy.set].reset_index(drop=True)
    allowed = {"any": LABELS}
    bases = rows.index[rows["label"].isin(allowed.get(policy.base, (policy.base,)))]
    injectors = rows[rows["label"].isin(allowed.get(policy.injector, (policy.injector,)))]
    for role, wanted, count in (
        ("base", policy.base, len(bases)),
        ("injector", policy.injector, len(injectors)),
    ):
        if not count:
            raise MixframeError(f"set '{policy.set}' has no utterance for {role} = {wanted}")
    everyone, by_speaker = _pools(injectors)
    names, speakers = rows["utterance"].tolist(), rows["speaker"].tolist()
    labels, samples = rows["label"].tolist(), rows["samples"].tolist()
    longest = int(policy.max_seconds * SAMPLE_RATE)
    planned = []
    for base in bases:
        for copy in range(policy.copies):
            rng = _stream(seed, names[base], copy)
            n_samples = min(samples[base], longest)
            start = rng.randint(0, samples[base] - n_samples)
            n_frames = grid.n_frames(n_samples)
            regions: list[tuple[int, int]] = []
            if rng.random() >= policy.clean_share:
                regions = policy.pattern.draw(rng, n_frames)
            spans = [(a * grid.hop, b * grid.hop) for a, b in regions]
            injector: int | None = None
            if spans:
                need = max(e - s for s, e in spans)
                pools = (everyone, by_speaker, speakers)
                injector = _injector(rng, policy, base, need, *pools)
            if injector is None:
                spans = []
            sources = (
                [rng.randint(0, samples[injector] - (e - s)) for s, e in spans] if spans else []
            )
            planned.append(
                (
                    names[base],
                    names[injector] if injector is not None else "",
                    labels[base],
                    start,
                    n_samples,
                    [s for s, _ in spans],
                    [e for _, e in spans],
                    sources,
                )
            )
    columns = [name for name in COLUMNS if name not in ("crossfade", "gain_db")]
    frame = pd.DataFrame(planned, columns=columns)
    frame["crossfade"] = np.int32(policy.crossfade)
    frame["gain_db"] = np.float32(policy.max_gain_db if policy.match_gain else 0.0)
    return frame


def _pools(injectors: pd.DataFrame) -> tuple[_Pool, dict[str, _Pool]]:
    everyone, by_speaker = _Pool(), dict[str, _Pool]()
    ordered = injectors.sort_values(["samples", "utterance"])
    for row, length, speaker in zip(
        ordered.index, ordered["samples"], ordered["speaker"], strict=True
    ):
        for pool in (everyone, by_speaker.setdefault(speaker, _Pool())):
            pool.lengths.append(int(length))
            pool.rows.append(int(row))
    return everyone, by_speaker


def _injector(
    rng: random.Random,
    policy: Splice,
    base: int,
    need: int,
    everyone: _Pool,
    by_speaker: dict[str, _Pool],
    speakers: Sequence[str],
) -> int | None:
    """Draw an injector for a base; the speaker wish gives way where nobody meets it."""
    own = speakers[base]
    if policy.speaker == "same" and own in by_speaker:
        injector = by_speaker[own].draw(rng, need, base)
        if injector is not None:
            return injector
    if policy.speaker == "different":
        others = sorted(s for s in by_speaker if s != own)
        rng.shuffle(others)
        for other in others:
            injector = by_speaker[other].draw(rng, need, base)
            if injector is not None:
                return injector
    return everyone.draw(rng, need, base)


def write_plan(planned: pd.DataFrame, path: Path) -> None:
    """Write a plan as Parquet."""
    with atomic_path(path) as temporary:
        planned.to_parquet(temporary, index=False, compression="zstd")


def read_plan(path: Path) -> pd.DataFrame:
    """Read a plan.

    Raises:
        MixframeError: the file is missing, or no plan; a row has not as many starts as ends and
            sources.
    """
    planned = read_parquet(path, COLUMNS, "splice")
    n_starts, n_ends, n_sources = (planned[n].map(len) for n in ("starts", "ends", "sources"))
    unequal = (n_starts != n_ends) | (n_starts != n_sources)
    if unequal.any():
        row = int(unequal.to_numpy().argmax())
        raise MixframeError(
            f"{path}, row {row}: {n_starts[row]} starts, {n_ends[row]} ends, {n_sources[row]} "
            "sources; expected as many of each"
        )
    return planned
