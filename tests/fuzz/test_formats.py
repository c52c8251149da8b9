"""What comes from outside, damaged: read, or refused by a MixframeError that names the file.

Archives, Parquet, CSV, JSON, weights, audio and answers of servers.
"""

import gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import strategies as st

from mixframe.audio.io import AudioRef, read
from mixframe.audio.stream import read_whole
from mixframe.base.files import read_json
from mixframe.base.tables import read_csv, read_parquet
from mixframe.corpora import fetch, unpack
from mixframe.corpora.probe import probe_one
from mixframe.corpora.source import read_entries
from mixframe.stages.card import read_card
from tests.answers import Answers, serving
from tests.bundle import media
from tests.fuzz.harness import passes, tried
from tests.fuzz.mutation import damaged

COLUMNS = {"name": "text", "place": "int", "score": "number", "ends": "ints", "scores": "numbers"}


def try_files(
    golden: list[tuple[str, bytes]],
    door: Callable[[Path], object],
    folder: Path,
    written: frozenset[str] = frozenset(),
) -> None:
    """Write damaged copies of golden files, and open the door to each."""
    files = st.sampled_from(golden)

    @tried(60, files.flatmap(lambda file: st.tuples(st.just(file[0]), damaged([file[1]]))))
    def one(file: tuple[str, bytes]) -> None:
        for path in folder.iterdir():
            shutil.rmtree(path)
        name, data = file
        path = folder / "in" / name
        path.parent.mkdir()
        path.write_bytes(data)
        passes(lambda: door(path), folder, written, named=name.partition(".")[0])


def archives() -> list[tuple[str, bytes]]:
    members = {"a/b.txt": b"text" * 50, "c": np.random.default_rng(0).bytes(700), "d/e/f": b""}
    made = []
    for mode in ("", "gz", "bz2", "xz"):
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode=f"w:{mode}", format=form) as tar:  # type: ignore[call-overload]
                for name, data in members.items():
                    long = name if form == tarfile.USTAR_FORMAT else f"{'l' * 120}/é{name}"
                    info = tarfile.TarInfo(long)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            made.append((f"archive.tar{'.' if mode else ''}{mode}", out.getvalue()))
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", kind) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        made.append(("archive.zip", out.getvalue()))
    # Inside the compression, so that the headers themselves are changed.
    made.append(("archive.tar.gz", gzip.compress(made[0][1])))
    return made


def test_archives(tmp_path: Path) -> None:
    def door(path: Path) -> None:
        unpack.extract(path, tmp_path / "out")

    try_files(archives(), door, tmp_path, frozenset({"out"}))


def test_parquet(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "place": [1, 2, 3],
            "score": [0.5, 1.5, 2.5],
            "ends": [[1, 2], [], [3]],
            "scores": [[0.5], [1.0, 2.0], []],
        }
    )
    golden = []
    for compression in ("zstd", "snappy", "gzip", None):
        out = io.BytesIO()
        rows.to_parquet(out, index=False, compression=compression)  # type: ignore[call-overload]
        golden.append(("table.parquet", out.getvalue()))
    try_files(golden, lambda path: read_parquet(path, COLUMNS), tmp_path)


def test_csv(tmp_path: Path) -> None:
    golden = [("det.csv", b"set,eer\n" + b"".join(b"dev,0.%d\n" % i for i in range(20)))]
    door = lambda path: read_csv(path, {"set": "text", "eer": "number"})  # noqa: E731
    try_files(golden, door, tmp_path)


def test_json(tmp_path: Path) -> None:
    sha = "0" * 64
    entry = {"kind": "demo", "files": [{"path": "data/a", "bytes": 1, "sha256": sha}]}
    card = {
        "isa": "avx2",
        "parameters": {"trainable": 1, "total": 2},
        "files": {"head.safetensors": sha},
        "encoder": {"folder": "results/é", "files": {"config.json": sha}},
    }
    golden = [
        ("card.json", json.dumps(card, indent=2, ensure_ascii=False).encode()),
        ("download.json", json.dumps({"demo": entry}, indent=2).encode()),
    ]

    def door(path: Path) -> None:
        read_json(path)
        read_entries(path) if path.name == "download.json" else read_card(path.parent)

    try_files(golden, door, tmp_path)


def sounds(folder: Path) -> list[tuple[str, bytes]]:
    """Return short recordings of many formats, and of some the header alone."""
    wave = np.sin(np.arange(2_000) / 9) / 2
    golden = []
    for kind, subtype, rate in (
        ("WAV", "PCM_16", 16_000),
        ("WAV", "FLOAT", 44_100),
        ("WAV", "MS_ADPCM", 8_000),
        ("FLAC", "PCM_16", 16_000),
        ("OGG", "VORBIS", 16_000),
        ("OGG", "OPUS", 48_000),
        ("MP3", "MPEG_LAYER_III", 22_050),
        ("AU", "PCM_16", 16_000),
        ("W64", "PCM_16", 16_000),
        ("RF64", "PCM_16", 16_000),
    ):
        out = io.BytesIO()
        soundfile.write(out, np.stack([wave, wave], 1), rate, subtype, format=kind)
        golden.append((f"audio.{kind.lower()}", out.getvalue()))
        golden.append((f"audio.{kind.lower()}", out.getvalue()[:100]))
    for codec, container in (("aac", "mp4"), ("opus", "matroska"), ("ac3", "mpegts")):
        path = media.write(folder / "audio", wave, 48_000, codec, container)
        golden.append((f"audio.{container}", path.read_bytes()))
    return golden


def test_audio(tmp_path: Path) -> None:
    def door(path: Path) -> None:
        ref = AudioRef(str(path))
        probed = probe_one(ref, decode=True)
        wave = read(ref)
        assert probed.problem or wave.size == probed.samples

    (tmp_path / "made").mkdir()
    try_files(sounds(tmp_path / "made"), door, tmp_path)


def test_recordings(tmp_path: Path) -> None:
    """As `mixframe detect` hears them: libsndfile or FFmpeg, block by block."""
    (tmp_path / "made").mkdir()
    golden = sounds(tmp_path / "made")
    try_files(golden, lambda path: read_whole(path, path.name), tmp_path)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as running:
        yield running


def test_http_answers(tmp_path: Path, answers: Answers) -> None:
    heads = [
        b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\nETag: "one"\r\n\r\n' + b"x" * 20,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x?a=b#c\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-24/25\r\n\r\n" + b"x" * 20,
        b"HTTP/1.1 416 No\r\nContent-Range: bytes */5\r\n\r\n",
    ]
    marks = damaged([json.dumps({"url": answers.url, "validator": '"one"'}).encode()])
    kept = frozenset({"a.tar.part", "a.tar.part.json"})

    @tried(60, damaged(heads), st.none() | marks)
    def door(head: bytes, mark: bytes | None) -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        answers.head = head
        if mark is not None:
            (tmp_path / "a.tar.part").write_bytes(b"start")
            (tmp_path / "a.tar.part.json").write_bytes(mark)
        passes(
            lambda: fetch.download(
                answers.url, tmp_path / "a.tar", pause=0, attempts=1, max_bytes=1000
            ),
            tmp_path,
            frozenset({"a.tar"}),
            kept,
            named="a.tar",
        )
