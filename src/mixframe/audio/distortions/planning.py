"""Which utterances are distorted how, as a table: no distorted audio is stored.

A row is made into audio by `render`, in any process and any order with the same samples. An
utterance has one seed for all conditions, so that along a curve the same noise grows louder; it
depends on its name alone, so that bona fide and spoofed ones are treated alike.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mixframe.audio.distortions import AnyDistortion
from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.distortions.files import as_written
from mixframe.audio.io import AudioRef, Waveform, read
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.schema import Section, validate
from mixframe.base.tables import Columns, read_parquet

CLEAN = "clean"
"""The condition of utterances as they were recorded."""

COLUMNS: Columns = {
    "utterance": "text",
    "condition": "text",
    "chain": "text",
    "seed": "int",
    "path": "text",
    "offset": "int",
    "n_bytes": "int",
}


class Row(NamedTuple):
    """What a row of a plan says.

    Attributes:
        condition: its name.
        chain: its section as JSON; "" for `CLEAN`.
        seed: of what is drawn.
        ref: the utterance as recorded.
    """

    utterance: str
    condition: str
    chain: str
    seed: int
    ref: AudioRef


class _Parsed(Section):
    chain: AnyDistortion


def plan(rows: pd.DataFrame, conditions: Mapping[str, Distortion], seed: int) -> pd.DataFrame:
    """Plan utterances under conditions, and before them as they were recorded.

    Args:
        rows: of a manifest: utterance, path, offset, n_bytes.
        seed: of all that is drawn.

    Returns:
        a row a condition and utterance, with the columns of `COLUMNS`; all utterances of a
        condition, then those of the next.
    """
    chains = {CLEAN: "", **{name: as_chain(section) for name, section in conditions.items()}}
    seeds = [_seed(seed, name) for name in rows["utterance"]]
    known = rows[["utterance", "path", "offset", "n_bytes"]].assign(seed=seeds)
    parts = [known.assign(condition=name, chain=chain) for name, chain in chains.items()]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def as_chain(section: Section) -> str:
    """Return a condition as a plan has it: JSON of its section."""
    return json.dumps(section.model_dump())


def _seed(seed: int, utterance: str) -> int:
    """Return the seed of an utterance, in [0, 2**32)."""
    digest = hashlib.sha256(f"{seed}\0{utterance}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def write_plan(planned: pd.DataFrame, path: Path) -> None:
    """Write a plan as Parquet."""
    with atomic_path(path) as temporary:
        planned.to_parquet(temporary, index=False, compression="zstd")


def read_plan(path: Path) -> list[Row]:
    """Read a plan.

    Raises:
        MixframeError: the file is missing, or no plan; a seed is below 0.
    """
    table = read_parquet(path, COLUMNS, "distort")
    if (table["seed"] < 0).any():
        row = int((table["seed"] < 0).to_numpy().argmax())
        raise MixframeError(f"{path}, row {row}: seed {table['seed'][row]}, expected 0 or more")
    columns = (table[name].tolist() for name in COLUMNS)
    return [
        Row(utterance, condition, chain, seed, AudioRef(place, offset, n_bytes))
        for utterance, condition, chain, seed, place, offset, n_bytes in zip(*columns, strict=True)
    ]


def render(row: Row) -> Waveform:
    """Make the audio of a row: (m,) float32 at 16 kHz, the samples of a file of 16 bits.

    Raises:
        MixframeError: the recording cannot be read, or what the distortion says.
    """
    wave = read(row.ref)
    if row.chain:
        try:
            wave = _section(row.chain).apply(wave, np.random.default_rng(row.seed))
        except MixframeError as error:
            raise MixframeError(f"{row.condition} of {row.utterance}: {error}") from error
    return as_written(wave)


@lru_cache(maxsize=256)
def _section(chain: str) -> Distortion:
    try:
        values = json.loads(chain)
    except (ValueError, RecursionError) as error:
        raise MixframeError(f"plan: chain {chain[:80]!r} is no JSON: {error}") from error
    return validate(_Parsed, {"chain": values}, "plan").chain
