"""What comes from outside, mutated: read, or refused by a MixframeError that names the file.

Each door takes golden files and changes bytes of them at random: bits flipped, parts cut, doubled,
zeroed or put in from another place. Anything but a result or a MixframeError is a failure, and so
is a file outside the place that a door writes to. Bounded by examples in the suite; with
MIXFRAME_FUZZ_SECONDS each door goes on that long, with other draws each time.
"""

import gzip
import io
import json
import os
import random
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mixframe.audio.io import AudioRef, read
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json
from mixframe.base.tables import read_csv, read_parquet
from mixframe.corpora import fetch, unpack
from mixframe.corpora.probe import probe_one
from mixframe.corpora.source import read_entries
from mixframe.stages.card import read_card
from tests.answers import Answers, serving

EXAMPLES = 60
SECONDS = float(os.environ.get("MIXFRAME_FUZZ_SECONDS", "0"))
COLUMNS = {"name": "text", "place": "int", "score": "number", "ends": "ints", "scores": "numbers"}


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change one to four places of some bytes."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(changed) + 1)
        end = min(len(changed), start + draw.choice((1, 1, 1, 4, 16, 64, 512)))
        kind = draw.randrange(6)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end]
        elif kind == 3:
            changed[start:end] = bytes([draw.choice((0, 255, 127, 32))]) * (end - start)
        elif kind == 4:
            other = draw.randrange(len(changed) + 1)
            changed[start:end] = changed[other : other + end - start]
        else:
            del changed[start:]
    return bytes(changed)


def cases(name: str) -> Iterator[random.Random]:
    """Yield a source of draws for each case, until the time is up; each can be made again."""
    seed = time.time_ns() if SECONDS else 0
    until = time.monotonic() + SECONDS
    number = 0
    while number < EXAMPLES or time.monotonic() < until:
        yield random.Random(f"{name}-{seed}-{number}")
        number += 1
    print(f"fuzz {name}: {number} cases from seed {seed}")


def refused(do: Callable[..., object], *given: object, **limits: object) -> str | None:
    """Return the message with which something is refused; None if it is not."""
    try:
        do(*given, **limits)
    except MixframeError as error:
        return str(error)
    return None


def try_all(
    name: str, golden: list[tuple[str, bytes]], door: Callable[[Path], object], folder: Path
) -> None:
    """Write mutations of golden files, and open the door to each."""
    before = sorted(p.name for p in folder.iterdir())
    for draw in cases(name):
        file_name, data = draw.choice(golden)
        path = folder / "in" / file_name
        path.parent.mkdir()
        path.write_bytes(mutated(data, draw))
        message = refused(door, path)
        assert message is None or file_name.partition(".")[0] in message
        assert message is None or len(message) < 20_000
        shutil.rmtree(folder / "in")
        assert sorted(p.name for p in folder.iterdir()) == before


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
        unpack.extract(path, path.parent / "out")

    try_all("archives", archives(), door, tmp_path)


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
    try_all("parquet", golden, lambda path: read_parquet(path, COLUMNS), tmp_path)


def test_csv(tmp_path: Path) -> None:
    golden = [("det.csv", b"set,eer\n" + b"".join(b"dev,0.%d\n" % i for i in range(20)))]
    door = lambda path: read_csv(path, {"set": "text", "eer": "number"})  # noqa: E731
    try_all("csv", golden, door, tmp_path)


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

    try_all("json", golden, door, tmp_path)


def test_audio(tmp_path: Path) -> None:
    wave = np.sin(np.arange(2_000) / 9) / 2
    golden = []
    for kind, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "MS_ADPCM"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("AU", "PCM_16"),
        ("W64", "PCM_16"),
        ("RF64", "PCM_16"),
    ):
        out = io.BytesIO()
        soundfile.write(out, np.stack([wave, wave], 1), 16_000, subtype, format=kind)
        golden.append((f"audio.{kind.lower()}", out.getvalue()))
        # Once more the header alone, which is where sizes and rates stand.
        golden.append((f"audio.{kind.lower()}", out.getvalue()[:100]))

    def door(path: Path) -> None:
        ref = AudioRef(str(path))
        probe_one(ref, decode=True)
        read(ref)

    try_all("audio", golden, door, tmp_path)


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
    for draw in cases("http"):
        answers.head = mutated(draw.choice(heads), draw)
        folder = tmp_path / "in"
        folder.mkdir()
        if draw.random() < 0.5:
            (folder / "a.tar.part").write_bytes(b"start")
            mark = json.dumps({"url": answers.url, "validator": '"one"'}).encode()
            if draw.random() < 0.5:
                mark = mutated(mark, draw)
            (folder / "a.tar.part.json").write_bytes(mark)
        message = refused(
            fetch.download, answers.url, folder / "a.tar", pause=0, attempts=1, max_bytes=1000
        )
        assert message is None or "a.tar" in message
        names = {p.name for p in folder.iterdir()}
        assert names <= {"a.tar", "a.tar.part", "a.tar.part.json"}
        shutil.rmtree(folder)
    assert [p.name for p in tmp_path.iterdir()] == []
