"""Tables on disk, Parquet and CSV: read with what the reader wants of them, or refused by name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file

MOST_ROWS, MOST_BYTES = 2**27, 2**35
"""Of a table, the bytes before compression. The footer of a small file can promise any number."""

Kind = Literal["text", "int", "number", "ints", "numbers"]
"""What a column holds; the last two are lists."""

Columns = Mapping[str, Kind]
"""The columns that a reader wants, by name; a table may have others."""


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_list(of: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    def holds(kind: pa.DataType) -> bool:
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return False
        # Lists that are all empty are lists of nothing.
        return of(kind.value_type) or pa.types.is_null(kind.value_type)

    return holds


_IS: Mapping[Kind, Callable[[pa.DataType], bool]] = {
    "text": _is_text,
    "int": pa.types.is_integer,
    "number": _is_number,
    "ints": _is_list(pa.types.is_integer),
    "numbers": _is_list(_is_number),
}


def read_parquet(path: Path, columns: Columns, made_by: str = "") -> pd.DataFrame:
    """Read a Parquet file whole.

    Args:
        made_by: the stage that makes it; for the message where it is missing.

    Raises:
        MixframeError: the file is missing, no Parquet, cut or damaged, without rows or with more
            than `MOST_ROWS` or
            `MOST_BYTES`; a column is missing, of another kind, or has empty cells.
    """
    path = need_file(path, made_by)
    with _opened(path, columns) as stream, _reading(path):
        table = stream.read()
        # Whether texts are UTF-8 and lists lie within their values, which reading does not ask.
        table.validate(full=True)
        empty = [name for name in columns if _has_empty(table[name])]
        read = table.to_pandas()
    if empty:
        raise MixframeError(f"{path}: empty cells in column {' and '.join(empty)}")
    return read


def read_rows(path: Path, columns: Columns, at_once: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, `at_once` of them in memory; cells may be empty.

    Raises:
        MixframeError: as `read_parquet`.
    """
    path = need_file(path)
    with _opened(path, columns) as stream:
        batches = stream.iter_batches(at_once)
        while True:
            with _reading(path):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if not rows:
                return
            yield from rows


def parquet_columns(path: Path) -> tuple[list[str], int]:
    """Return the names of the columns of a Parquet file, and the number of its rows.

    Raises:
        MixframeError: the file is missing, no Parquet, cut or damaged, or without rows.
    """
    with _opened(need_file(path), {}) as stream:
        return list(stream.schema_arrow.names), stream.metadata.num_rows


@contextmanager
def _opened(path: Path, columns: Columns) -> Iterator[pq.ParquetFile]:
    with _reading(path):
        stream = pq.ParquetFile(path)
    with stream:
        with _reading(path):
            schema, metadata = stream.schema_arrow, stream.metadata
            kinds = {name: schema.field(name).type for name in columns if name in schema.names}
            # What a footer says of a column chunk is not asked: with some damage that ends Python.
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            n_rows, n_bytes = metadata.num_rows, sum(group.total_byte_size for group in groups)
        if absent := [name for name in columns if name not in kinds]:
            raise MixframeError(f"{path}: no column {' and '.join(absent)}")
        if not n_rows:
            raise MixframeError(f"{path}: a table without rows")
        wrong = [
            f"{n} is {t}, expected {columns[n]}" for n, t in kinds.items() if not _IS[columns[n]](t)
        ]
        if wrong:
            raise MixframeError(f"{path}: column {'; '.join(wrong)}")
        if n_rows > MOST_ROWS or n_bytes > MOST_BYTES:
            raise MixframeError(
                f"{path}: {n_rows:,} rows and {n_bytes:,} bytes, expected at most {MOST_ROWS:,} "
                f"and {MOST_BYTES:,}"
            )
        yield stream


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    # Arrow has no one error for damage: OSError, KeyError and many others come up.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MixframeError(f"{path}: not Parquet, cut or damaged ({reason})") from error


def _has_empty(column: pa.ChunkedArray) -> bool:
    if column.null_count:
        return True
    # Among numbers with a fraction an empty one becomes NaN, which the reader of them judges.
    return _IS["ints"](column.type) and any(chunk.flatten().null_count for chunk in column.chunks)


def read_csv(
    path: Path, columns: Columns, made_by: str = "", may_be_empty: bool = False
) -> pd.DataFrame:
    """Read a CSV file with a header.

    Args:
        columns: of text and numbers.
        made_by: the stage that makes it; for the message where it is missing.
        may_be_empty: whether a table without rows is one.

    Raises:
        MixframeError: the file is missing, no CSV or without rows; a column is missing, or holds
            something else or nothing in a row.
    """
    path = need_file(path, made_by)
    try:
        table = pd.read_csv(path)
    # pandas' own errors, and UnicodeDecodeError.
    except ValueError as error:
        raise MixframeError(f"{path}: no table, cut or damaged ({error})") from error
    if absent := [name for name in columns if name not in table]:
        raise MixframeError(f"{path}: no column {' and '.join(absent)}")
    if table.empty and not may_be_empty:
        raise MixframeError(f"{path}: a table without rows")
    for name, kind in columns.items():
        if table[name].isna().any():
            raise MixframeError(f"{path}: empty cells in column {name}")
        if kind != "text" and len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise MixframeError(f"{path}: column {name} is not numbers alone")
    return table
