"""Damaged labels of corpora, and shards of the Arena: rows of a manifest, or file and line."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from mixframe.audio import manifest
from mixframe.corpora import PARTIAL, archives, trials
from mixframe.corpora.arena import read_labels
from tests.corpora import build, layouts, test_arena, test_partial, test_table
from tests.fuzz.harness import passes, tried
from tests.fuzz.mutation import damaged, disturbed

TEXTS = (".csv", ".txt", ".tsv", ".vad")
MADE = frozenset({"audio.tar", ".mixframe"})
"""The audio of segments, and what is known of audio files."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Stand in a folder whose data root is data/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)
    Path("data").mkdir()


def labels_of(folder):
    """Return the files with labels below a folder, and their bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in TEXTS)
    return [(path, path.read_bytes()) for path in paths]


def try_labels(few, golden, read, folder):
    """Damage one file with labels at a time, and read its corpus.

    Args:
        golden: kind of corpus, path and bytes of each file.
        read: reads a corpus by its kind.
    """
    files = st.sampled_from(golden)

    @tried(few, files.flatmap(lambda file: st.tuples(st.just(file), damaged([file[2]]))))
    def door(case):
        (kind, path, data), changed = case
        path.write_bytes(changed)
        # What the corpus before this one left of its lists of files.
        own = frozenset({f"data/{kind}/.lock"})
        try:
            passes(lambda: manifest.check(read(kind), "test"), folder, MADE, MADE | own)
        finally:
            path.write_bytes(data)


def test_tables(tmp_path):
    golden = []
    for name, layout in layouts.LAYOUTS.items():
        folder = layouts.build(layout, Path("data") / name)
        test_table.read(name)
        golden += [(name, *file) for file in labels_of(folder) if "files.txt" not in file[0].name]
    try_labels(60, golden, test_table.read, tmp_path)


def test_partly_spoofed_corpora(tmp_path):
    golden = []
    for kind in PARTIAL:
        folder = layouts.build(layouts.PARTLY[kind], Path("data") / f"{kind}_lab")
        golden += [(kind, *file) for file in labels_of(folder)]

    def read(kind):
        return test_partial.protocol_of(
            kind, test_partial.download_of(kind, path=f"{kind}_lab"), max_orphans=9
        )

    for kind in PARTIAL:
        assert len(read(kind))
    try_labels(60, golden, read, tmp_path)


def test_protocols_of_challenges(tmp_path):
    golden = []
    for kind in build.LAYOUT:
        folder = build.unpacked(kind, Path("data") / kind)
        golden += [(kind, *file) for file in labels_of(folder)]

    def read(kind):
        corpus = trials.PUBLISHED[kind]
        divisions = corpus.divisions
        section = trials.Protocol(
            kind=kind,
            sets=dict.fromkeys(divisions, "eval"),
            trials=dict.fromkeys(build.LAYOUT[kind], 8),
            decode=False,
            max_missing=8,
            max_orphans=8,
        )
        fetched = archives.Fetched(kind=kind, path=kind, addresses=[], archives={}, disk_gb=0)
        return trials.protocol(section, 1, archives.download(fetched, Path("data") / kind), None, 1)

    for kind in build.LAYOUT:
        assert len(read(kind))
    try_labels(60, golden, read, tmp_path)


def test_shards_of_the_arena(tmp_path):
    rows = [test_arena.row(i) for i in range(3)]
    notes = [json.loads(row["notes"]) for row in rows]

    def door(given):
        for name in ("hub", "made"):
            shutil.rmtree(name, ignore_errors=True)
        source = test_arena.shards(tmp_path / "hub", given)
        made = frozenset({"made", ".mixframe"})
        passes(
            lambda: manifest.check(
                test_arena.read(test_arena.fetch(source, tmp_path / "made"), trials=3), "test"
            ),
            tmp_path,
            made,
            made,
        )

    # Whatever cannot be a cell of the column is tried in other places.
    texts = st.text(max_size=40) | damaged([json.dumps(notes[0]).encode()]).map(
        lambda data: data.decode("utf-8", "replace")
    )
    changes = st.fixed_dictionaries(
        {},
        optional={
            "path": texts,
            "label": st.integers(-(2**63), 2**63 - 1) | st.none(),
            "notes": texts | disturbed(notes[0]).map(lambda n: json.dumps(n, default=str)),
            "audio": st.none()
            | st.fixed_dictionaries({"bytes": st.binary() | st.none(), "path": texts}),
        },
    )

    @tried(40, changes)
    def cells(change):
        door([rows[0], rows[1] | change, rows[2]])


def test_labels_of_the_arena(tmp_path):
    names = [("a", 0), ("b", 1), ("c", 0)]
    path = test_arena.shards(tmp_path / "hub", labels=names) / "data" / "labels.parquet"
    table = pq.read_table(path)

    @tried(60, damaged([path.read_bytes()]))
    def door(data):
        path.write_bytes(data)
        passes(lambda: read_labels(path), tmp_path, named="labels.parquet")

    pq.write_table(table, path)
    assert read_labels(path) == {"a": "bonafide", "b": "spoof", "c": "bonafide"}
