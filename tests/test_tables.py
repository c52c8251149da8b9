"""Parquet and CSV: read if they have what the reader wants, else refused by name."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixframe.audio import manifest
from mixframe.audio.splicing import planning
from mixframe.base import tables
from mixframe.base.errors import MixframeError
from mixframe.base.tables import parquet_columns, read_csv, read_parquet, read_rows
from mixframe.metrics import protocols, regionfiles
from mixframe.metrics.frames import read_frames

COLUMNS = {"name": "text", "place": "int", "score": "number", "ends": "ints", "scores": "numbers"}
ROWS = pd.DataFrame(
    {
        "name": ["a", "b"],
        "place": [1, 2],
        "score": [0.5, 1.5],
        "ends": [[1, 2], []],
        "scores": [[0.5], [1.0, 2.0]],
    }
)


@pytest.fixture
def path(tmp_path):
    ROWS.to_parquet(tmp_path / "a.parquet", index=False)
    return tmp_path / "a.parquet"


def test_a_table_is_read_as_pandas_reads_it(path):
    pd.testing.assert_frame_equal(read_parquet(path, COLUMNS), pd.read_parquet(path))
    assert parquet_columns(path) == (list(ROWS), 2)
    assert [row["name"] for row in read_rows(path, COLUMNS, at_once=1)] == ["a", "b"]


def test_lists_that_are_all_empty_are_lists_of_anything(path):
    ROWS.assign(ends=[[], []], scores=[[], []]).to_parquet(path)
    assert read_parquet(path, COLUMNS)["ends"].map(len).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["place", "ends"]), "no column place and ends"),
        (lambda t: t.assign(name=[1, 2]), "column name is int64, expected text"),
        (lambda t: t.assign(place=[1.0, 2.0]), "column place is double, expected int"),
        (lambda t: t.assign(score=["1", "2"]), "column score is large_string, expected number"),
        (lambda t: t.assign(ends=[["a"], ["b"]]), "column ends is list.*, expected ints"),
        (lambda t: t.assign(scores=[1.0, 2.0]), "column scores is double, expected numbers"),
        (lambda t: t.assign(name=["a", None]), "empty cells in column name"),
        (lambda t: t.assign(ends=[[1], None]), "empty cells in column ends"),
        (lambda t: t.assign(ends=[[1], [None, 2]]), "empty cells in column ends"),
        (lambda t: t.iloc[:0].astype({"name": str}), "a table without rows"),
    ],
)
def test_another_table_is_refused(path, change, message):
    change(ROWS).to_parquet(path, index=False)
    with pytest.raises(MixframeError, match=rf"a\.parquet: {message}"):
        read_parquet(path, COLUMNS)


def test_a_table_without_rows_is_refused(path):
    pq.write_table(pa.Table.from_pandas(ROWS).slice(0, 0), path)
    for read in (read_parquet, lambda *given: list(read_rows(*given, 1))):
        with pytest.raises(MixframeError, match=r"a\.parquet: a table without rows"):
            read(path, COLUMNS)
    with pytest.raises(MixframeError, match=r"a\.parquet: a table without rows"):
        parquet_columns(path)


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_BYTES"])
def test_more_than_fits_is_refused_before_it_is_read(path, monkeypatch, limit):
    monkeypatch.setattr(tables, limit, 1)
    with pytest.raises(
        MixframeError, match=r"a\.parquet: 2 rows and [\d,]+ bytes, expected at most"
    ):
        read_parquet(path, COLUMNS)


def test_text_that_is_not_utf8_is_refused(path):
    array = pa.array([b"\xff\xfe"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"name": array}), path)
    with pytest.raises(MixframeError, match=r"a\.parquet: not Parquet, cut or damaged"):
        read_parquet(path, {"name": "text"})


def test_a_cut_file_is_refused_wherever_it_was_cut(path):
    data = path.read_bytes()
    for length in range(0, len(data), 23):
        path.write_bytes(data[:length])
        with pytest.raises(MixframeError, match=r"a\.parquet: not Parquet, cut or damaged"):
            read_parquet(path, COLUMNS)


def test_a_flipped_bit_is_refused_or_read_but_nothing_else(path):
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read_parquet(path, COLUMNS)
            list(read_rows(path, COLUMNS, 1))
        except MixframeError as error:
            refused += str(path) in str(error)
    assert refused


@pytest.mark.parametrize(
    "read",
    [
        manifest.read,
        planning.read_plan,
        read_frames,
        protocols.read,
        regionfiles.read_regions,
        regionfiles.read_frames,
    ],
)
def test_every_reader_names_damage(path, read):
    data = path.read_bytes()
    for content in (b"", b"PAR1", data[: len(data) // 2], b"\0" * 1000):
        path.write_bytes(content)
        with pytest.raises(MixframeError, match=r"a\.parquet: not Parquet, cut or damaged"):
            read(path)
    ROWS[["place"]].to_parquet(path)
    with pytest.raises(MixframeError, match=r"a\.parquet: no column"):
        read(path)


def test_frames_without_their_labels_are_named(tmp_path):
    path = tmp_path / "frames.parquet"
    rows = {"set": ["x", "x"], "utterance": ["a", "b"], "labels": [[1, 0], [1]]}
    for scores in ([[0.5, 1.0], []], [[0.5, float("nan")], [1.0]]):
        pd.DataFrame({**rows, "scores": scores}).to_parquet(path)
        with pytest.raises(MixframeError, match=r"frames\.parquet: [ab]: \d labels and \d scores"):
            read_frames(path)


def test_a_plan_whose_lists_do_not_fit_is_named(tmp_path):
    path = tmp_path / "plan.parquet"
    row = {"base": "a", "injector": "b", "label": "spoof", "base_start": 0, "n_samples": 9}
    row |= {"starts": [0, 4], "ends": [2, 6], "sources": [0], "crossfade": 0, "gain_db": 0.0}
    planning.write_plan(pd.DataFrame([row]), path)
    with pytest.raises(MixframeError, match="row 0: 2 starts, 2 ends, 1 sources"):
        planning.read_plan(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table, cut or damaged"),
        ("set,eer\n", "a table without rows"),
        ("set\na\n", "no column eer"),
        ("set,eer\na,0.5\nb\n", "empty cells in column eer"),
        ("set,eer\na,0.5\nb,x\n", "column eer is not numbers alone"),
        ('set,eer\n"a,0.5\n', "no table, cut or damaged|empty cells"),
        ("set,eer\na,1,2,3\nb,1\n", "no table|not numbers|empty"),
    ],
)
def test_csv_that_is_not_the_table_is_named(tmp_path, text, message):
    path = tmp_path / "det.csv"
    path.write_text(text)
    with pytest.raises(MixframeError, match=rf"det\.csv: {message}"):
        read_csv(path, {"set": "text", "eer": "number"})


def test_csv_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "det.csv"
    path.write_bytes(b"set,eer\n\xff\xfe,0.5\n")
    with pytest.raises(MixframeError, match=r"det\.csv: no table, cut or damaged"):
        read_csv(path, {"set": "text", "eer": "number"})
    path.write_text("set,eer\n")
    assert read_csv(path, {"set": "text", "eer": "number"}, may_be_empty=True).empty
    path.write_text("set,eer\na,0.5\n")
    assert read_csv(path, {"set": "text", "eer": "number"})["eer"].tolist() == [0.5]
