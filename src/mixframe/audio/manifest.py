"""The manifest: the one table every stage reads, a row an utterance.

| column | type | meaning |
|---|---|---|
| utterance | str | id, unique in the manifest |
| set | str | the preset's set it belongs to: train, dev or an evaluation set |
| label | str | bonafide or spoof |
| speaker | str | who speaks |
| attack | str | the spoofing system; "-" for bona fide |
| codec | str | transmission or compression condition; "-" if none |
| subset | str | the corpus's own subset (eval, progress, hidden); "-" if none |
| prompt | str | the text or source recording that several trials share; "-" if unknown |
| path, offset, n_bytes | str, int64, int64 | where the audio is (`mixframe.audio.io.AudioRef`) |
| samples | int64 | length at 16 kHz |
| regions | list of int64 | start, end, start, end ... of spliced-in parts, in samples |

A corpus may add columns of its own, among them source_rate and source_channels of recordings that
are converted on reading.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mixframe.audio.io import AudioRef
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path
from mixframe.base.labels import LABELS
from mixframe.base.tables import Columns, read_parquet

TEXT = ("utterance", "set", "label", "speaker", "attack", "codec", "subset", "prompt", "path")
NUMBERS = ("offset", "n_bytes", "samples")
COLUMNS = (*TEXT, *NUMBERS, "regions")
KINDS: Columns = {
    **dict.fromkeys(TEXT, "text"),
    **dict.fromkeys(NUMBERS, "int"),
    "regions": "ints",
}
"""What each column holds."""


def check(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the manifest with its common columns first.

    Raises:
        MixframeError: no rows, a missing column, a duplicate id, an unknown label, an utterance
            without samples, a place before the beginning of a file, regions that are no pairs; all
            of them at once, by id.
    """
    absent = [c for c in COLUMNS if c not in table]
    if absent:
        raise MixframeError(f"{where}: the manifest lacks the columns {', '.join(absent)}")
    _refuse_rows(table, where)
    extra = [c for c in table if c not in COLUMNS]
    return table[[*COLUMNS, *extra]].reset_index(drop=True)


def _refuse_rows(table: pd.DataFrame, where: str) -> None:
    """Refuse a table whose rows cannot be; places of the audio are looked at where it has them."""
    if table.empty:
        raise MixframeError(f"{where}: the manifest has no utterances")
    problems = [
        f"{name}: {count} rows with this utterance id"
        for name, count in table["utterance"].value_counts().items()
        if count > 1
    ]
    wrong = [(~table["label"].isin(LABELS), "label is not bonafide or spoof")]
    if "samples" in table:
        wrong.append((table["samples"] <= 0, "no samples"))
    if "offset" in table and "n_bytes" in table:
        below = (table["offset"] < 0) | (table["n_bytes"] < 0)
        wrong.append((below, "its place in the file is below 0"))
    if "regions" in table:
        wrong.append((table["regions"].map(len) % 2 == 1, "a region without an end"))
    for mask, what in wrong:
        problems += [f"{name}: {what}" for name in table.loc[mask, "utterance"]]
    if problems:
        raise MixframeError(f"{where}: {len(problems)} bad rows\n{listing(problems)}")


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a checked manifest as Parquet."""
    table = check(table, str(path))
    schema = pa.Schema.from_pandas(table, preserve_index=False)
    # Where no utterance has regions, Arrow cannot tell what they would be lists of.
    regions = pa.field("regions", pa.list_(pa.int64()))
    schema = schema.set(schema.get_field_index("regions"), regions)
    with atomic_path(path) as temporary:
        rows = pa.Table.from_pandas(table, schema, preserve_index=False)
        pq.write_table(rows, temporary, compression="zstd")


def read(path: Path, sets: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a manifest, or the rows of some of its sets.

    Raises:
        MixframeError: the file is missing, or no manifest (`check`), or a set is empty or has one
            class only.
    """
    table = check(read_parquet(path, KINDS, "protocol"), str(path))
    if sets is None:
        return table
    for name in sets:
        counts = table.loc[table["set"] == name, "label"].value_counts()
        for label in LABELS:
            if label not in counts:
                raise MixframeError(
                    f"{path}: set '{name}' has no {label} utterances "
                    f"(sets: {', '.join(sorted(table['set'].unique()))})"
                )
    return table[table["set"].isin(sets)].reset_index(drop=True)


def read_keys(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read what a manifest says of its trials; where their audio is need not be in it.

    Args:
        columns: that it must have besides utterance, set and label.

    Raises:
        MixframeError: the file is missing, lacks a column, or has rows that cannot be.
    """
    wanted = {name: KINDS[name] for name in ("utterance", "set", "label", *columns)}
    table = read_parquet(path, wanted, "protocol")
    _refuse_rows(table, str(path))
    return table


def ref(row: pd.Series) -> AudioRef:
    """Return where the audio of one manifest row is."""
    return AudioRef(str(row["path"]), int(row["offset"]), int(row["n_bytes"]))


def refs(table: pd.DataFrame) -> list[AudioRef]:
    """Return where the audio of every row is, in the order of the rows."""
    columns = zip(table["path"], table["offset"], table["n_bytes"], strict=True)
    return [AudioRef(str(p), int(o), int(n)) for p, o, n in columns]


def pairs(flat: Sequence[int]) -> list[tuple[int, int]]:
    """Turn a `regions` cell (start, end, start, end ...) into intervals."""
    values = np.asarray(flat, dtype=np.int64).reshape(-1, 2)
    return [(int(s), int(e)) for s, e in values]
