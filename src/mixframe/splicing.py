"""Mix-frame splices: plan them once as a table, render them from the plan whenever they are needed.

A plan row says which part of which base utterance is taken, which regions of it are replaced by
which parts of which injector utterance, and how. Rendering reads only those parts.
"""

import bisect
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mixframe.audio import AudioRef, Waveform
from mixframe.errors import MixframeError
from mixframe.files import atomic_path, need_file
from mixframe.frames import FrameGrid, Labels
from mixframe.manifest import pairs, refs
from mixframe.params import Splice
from mixframe.patterns import PATTERNS, Limits

Reader = Callable[[AudioRef, int, int | None], Waveform]


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
        pick = rng.randrange(n_fit)
        row = self.rows[first + pick]
        if row == not_row:
            if n_fit == 1:
                return None
            row = self.rows[first + (pick + 1 + rng.randrange(n_fit - 1)) % n_fit]
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
    allowed = {"any": ("bonafide", "spoof")}
    bases = rows.index[rows["label"].isin(allowed.get(policy.base, (policy.base,)))]
    injectors = rows[rows["label"].isin(allowed.get(policy.injector, (policy.injector,)))]
    for role, wanted, found in (
        ("base", policy.base, len(bases)),
        ("injector", policy.injector, len(injectors)),
    ):
        if not found:
            raise MixframeError(f"set '{policy.set}' has no utterance for {role} = {wanted}")
    everyone, by_speaker = _pools(injectors)
    names, speakers = rows["utterance"].tolist(), rows["speaker"].tolist()
    labels, samples = rows["label"].tolist(), rows["samples"].tolist()
    longest = int(policy.max_seconds * 16_000)
    draw = PATTERNS[policy.pattern.name]
    planned = []
    for base in bases:
        for copy in range(policy.copies):
            rng = _stream(seed, names[base], copy)
            n_samples = min(samples[base], longest)
            start = rng.randint(0, samples[base] - n_samples)
            n_frames = grid.n_frames(n_samples)
            regions: list[tuple[int, int]] = []
            if rng.random() >= policy.clean_share:
                regions = draw(rng, _limits(policy, n_frames))
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
    columns = ["base", "injector", "label", "base_start", "n_samples", "starts", "ends", "sources"]
    frame = pd.DataFrame(planned, columns=columns)
    frame["crossfade"] = np.int32(policy.crossfade)
    frame["gain_db"] = np.float32(policy.max_gain_db if policy.match_gain else 0.0)
    return frame


def _limits(policy: Splice, n_frames: int) -> Limits:
    p = policy.pattern
    return Limits(n_frames, p.max_regions, p.min_frames, p.max_frames, p.max_ratio)


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
        found = by_speaker[own].draw(rng, need, base)
        if found is not None:
            return found
    if policy.speaker == "different":
        others = sorted(s for s in by_speaker if s != own)
        rng.shuffle(others)
        for other in others:
            found = by_speaker[other].draw(rng, need, base)
            if found is not None:
                return found
    return everyone.draw(rng, need, base)


def write_plan(planned: pd.DataFrame, path: Path) -> None:
    """Write a plan as Parquet."""
    with atomic_path(path) as temporary:
        planned.to_parquet(temporary, index=False, compression="zstd")


def read_plan(path: Path) -> pd.DataFrame:
    """Read a plan.

    Raises:
        MixframeError: the file is missing.
    """
    return pd.read_parquet(need_file(path, "splice"))


@dataclass(frozen=True)
class Recipe:
    """One plan row with everything rendering needs.

    Attributes:
        injector: None leaves the base as it is; regions then say where it was spliced before.
        regions: half-open intervals in samples of the used part of the base.
        sources: first injector sample of each region.
        gain_db: level matching changes the injected part by at most this many dB; 0 = off.
    """

    base: AudioRef
    base_start: int
    n_samples: int
    label: str
    injector: AudioRef | None
    regions: tuple[tuple[int, int], ...]
    sources: tuple[int, ...]
    crossfade: int
    gain_db: float


def recipes(planned: pd.DataFrame, where: dict[str, AudioRef]) -> list[Recipe]:
    """Join a plan with the places of its utterances.

    Args:
        where: utterance id to audio.

    Raises:
        MixframeError: the plan names an utterance that is not there.
    """
    unknown = (set(planned["base"]) | set(planned["injector"])) - {""} - set(where)
    if unknown:
        raise MixframeError(
            f"the splice plan names {len(unknown)} utterances that the manifest lacks, "
            f"{min(unknown)} for one; run the stage 'splice' again"
        )
    return [
        Recipe(
            where[row.base],
            int(row.base_start),
            int(row.n_samples),
            str(row.label),
            where[row.injector] if row.injector else None,
            tuple((int(s), int(e)) for s, e in zip(row.starts, row.ends, strict=True)),
            tuple(int(s) for s in row.sources),
            int(row.crossfade),
            float(row.gain_db),
        )
        for row in planned.itertuples()
    ]


def as_recorded(table: pd.DataFrame) -> list[Recipe]:
    """Return manifest rows, whole and unchanged, with the regions the manifest knows of."""
    regions = [tuple(pairs(flat)) for flat in table["regions"]]
    rows = zip(refs(table), table["samples"], table["label"], regions, strict=True)
    return [Recipe(ref, 0, int(n), str(label), None, r, (), 0, 0.0) for ref, n, label, r in rows]


def load(recipe: Recipe, grid: FrameGrid, read: Reader) -> tuple[Waveform, Labels]:
    """Read and render one plan row.

    Args:
        read: reads (ref, first sample, number of samples), as `mixframe.audio.read` does.

    Returns:
        (n_samples,) float32 waveform and (T,) int8 frame labels.
    """
    base = read(recipe.base, recipe.base_start, recipe.n_samples)
    if recipe.injector is None:
        return base, grid.labels(recipe.regions, base.size)
    injected = [
        read(recipe.injector, source, end - start)
        for (start, end), source in zip(recipe.regions, recipe.sources, strict=True)
    ]
    wave = render(base, injected, recipe.regions, recipe.crossfade, recipe.gain_db)
    return wave, grid.labels(recipe.regions, base.size)


def render(
    base: Waveform,
    injected: Sequence[Waveform],
    regions: Sequence[tuple[int, int]],
    crossfade: int,
    gain_db: float,
) -> Waveform:
    """Replace regions of a waveform by injected parts.

    The blend is linear and lies inside the region, so samples outside every region are the base's,
    bit for bit.

    Args:
        base: (n,) samples.
        injected: a part as long as its region, for each region.
        regions: disjoint half-open sample intervals.
        crossfade: samples of blending at each end of a region, at most half of the region.
        gain_db: scale each part to the RMS of what it replaces, by at most this; 0 = leave it.

    Returns:
        (n,) float32.
    """
    out = base.copy()
    for (start, end), part in zip(regions, injected, strict=True):
        length = end - start
        mixed = part * _gain(base[start:end], part, gain_db)
        fade = min(crossfade, length // 2)
        if fade:
            weight = np.ones(length, dtype=np.float32)
            ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
            weight[:fade], weight[length - fade :] = ramp, ramp[::-1]
            mixed = weight * mixed + (1 - weight) * base[start:end]
        out[start:end] = mixed
    return out


def _gain(replaced: Waveform, part: Waveform, limit_db: float) -> np.float32:
    """Return the factor that gives `part` the RMS of `replaced`; 1 if either is silent."""
    power, target = np.mean(np.square(part)), np.mean(np.square(replaced))
    if limit_db == 0 or power == 0 or target == 0:
        return np.float32(1)
    limit = 10 ** (limit_db / 20)
    return np.float32(np.clip(np.sqrt(target / power), 1 / limit, limit))
