"""Archives: unpacked whole, or refused by the name of what is wrong, with nothing left."""

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.base.progress import MIB
from mixframe.corpora import unpack
from tests.test_fetch import CONTENT, names

KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")
Tree = dict[str, bytes]


def pack(path: Path, tree: Tree, *more: tuple[str, bytes]) -> Path:
    members = [*tree.items(), *more]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return path
    _, _, compression = path.name.partition(".tar")
    with tarfile.open(path, f"w:{compression.removeprefix('.')}") as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pack_special(path: Path, kind: bytes, name: str = "special", target: str = "a") -> Path:
    """A tar with the file `a` and a member of another kind."""
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return path


def tree_of(folder: Path) -> Tree:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def refused(archive: Path, match: str, **limits: float) -> str:
    """Check that `archive` is refused by its name and that nothing else is left or changed."""
    before = names(archive.parent)
    with pytest.raises(MixframeError, match=match) as caught:
        unpack.extract(archive, archive.parent / "out", **limits)  # type: ignore[arg-type]
    assert str(archive) in str(caught.value)
    assert names(archive.parent) == before
    return str(caught.value)


part = st.text(st.sampled_from("abcé -_.0"), min_size=1, max_size=6).filter(
    lambda s: s.strip(".") != ""
)
trees = st.dictionaries(
    st.lists(part, min_size=1, max_size=3).map(tuple), st.binary(max_size=300), max_size=6
).map(
    lambda t: {
        "/".join(k): v for k, v in t.items() if not any(k[:n] in t for n in range(1, len(k)))
    }
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(tree=trees)
def test_what_was_packed_is_unpacked(kind: str, tree: Tree) -> None:
    with TemporaryDirectory() as name:
        archive = pack(Path(name, f"a.{kind}"), tree)
        unpack.extract(archive, Path(name, "out"))
        assert tree_of(Path(name, "out")) == tree
        assert sorted(p.name for p in Path(name).iterdir()) == [f"a.{kind}", "out"]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_only_wanted_members_are_unpacked(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / f"a.{kind}", {"d/a.g722": b"1", "d/L": CONTENT, "b.g722": b""})
    unpack.extract(archive, tmp_path / "out", lambda name: name.endswith(".g722"))
    assert tree_of(tmp_path / "out") == {"d/a.g722": b"1", "b.g722": b""}
    unpack.extract(archive, tmp_path / "less", lambda name: name == "d/a.g722", max_bytes=1)
    assert tree_of(tmp_path / "less") == {"d/a.g722": b"1"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../outside", "leaves the folder"),
        ("ok/../../outside", "leaves the folder"),
        ("ok/..", "leaves the folder"),
        ("..\\outside", "leaves the folder"),
        ("/outside", "absolute"),
        ("C:/outside", "absolute"),
        ("\\outside", "absolute"),
    ],
)
def test_names_outside_the_folder_are_refused(
    tmp_path: Path, kind: str, name: str, match: str
) -> None:
    (tmp_path / "outside").write_text("mine")
    archive = pack(tmp_path / f"a.{kind}", {"ok/a": b"x", name: b"theirs"})
    assert repr(name) in refused(archive, match)
    assert (tmp_path / "outside").read_text() == "mine"
    before = names(tmp_path)
    with pytest.raises(MixframeError, match=match):
        unpack.extract(archive, tmp_path / "out", lambda n: n == "ok/a")
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("type_", "match"),
    [
        (tarfile.SYMTYPE, "a link to 'a'"),
        (tarfile.LNKTYPE, "a link to 'a'"),
        (tarfile.FIFOTYPE, "special file"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.BLKTYPE, "special file"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, type_: bytes, match: str) -> None:
    assert "'special'" in refused(pack_special(tmp_path / "a.tar", type_), match)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("special")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", "'special': a link")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"secret": b"x"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    refused(archive, "'secret': encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("second", ["a", "./a", "a/b"])
def test_two_members_in_one_place_are_refused(tmp_path: Path, kind: str, second: str) -> None:
    archive = pack(tmp_path / f"a.{kind}", {"a": b"1"}, (second, b"2"))
    assert repr(second) in refused(archive, "another member has the same name")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / f"a.{kind}", {"ok": b"1", "zeros": bytes(20 * MIB)})
    refused(archive, "200 times its own size")


def test_a_bomb_in_the_padding_of_a_tar_is_refused(tmp_path: Path) -> None:
    plain = pack(tmp_path / "a.tar", {"ok": b"1"}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(plain + bytes(20 * MIB)))
    refused(tmp_path / "a.tar.gz", "bytes follow the last member")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_limits_on_bytes_and_free_space(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / f"a.{kind}", {"a": CONTENT[:3000], "b": CONTENT})
    refused(archive, "to 703,000 bytes or more, over the limit for this", max_bytes=4_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4_000))
    with pytest.raises(MixframeError, match=r"free disk space|MiB free"):
        unpack.extract(archive, tmp_path / "out")
    assert names(tmp_path) == [archive.name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["d/" * 2_000 + "a", "d/" * 100 + "a", "n" * 1_001])
def test_names_of_thousands_of_folders_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    archive = pack(tmp_path / f"a.{kind}", {name: b"x"})
    message = refused(archive, rf"a name of {len(name):,} characters and .* expected at most 1,000")
    assert len(message) < 1_000


def long_header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(long_header(kind, 2 * MIB) + bytes(2 * MIB)))
    refused(archive, "a header of 2,097,152 bytes, more than 1,048,576")


def test_headers_of_headers_without_end_are_refused(tmp_path: Path) -> None:
    name = b"a".ljust(tarfile.BLOCKSIZE, b"\0")
    archive = tmp_path / "a.tar"
    archive.write_bytes((long_header(tarfile.GNUTYPE_LONGNAME, 1) + name) * 2_000)
    refused(archive, "cut or damaged")


def test_a_zip_that_understates_a_size_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"liar": bytes(5000)})
    data = archive.read_bytes()
    assert data.count((5000).to_bytes(4, "little")) == 2
    archive.write_bytes(data.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "'liar'" in refused(archive, "cut or damaged")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_refused_wherever_it_was_cut(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path / f"a.{kind}", {"a": CONTENT[:700], "b/c": CONTENT[:512], "d": b""})
    data = archive.read_bytes()
    # A tar ends with its first block of zeros; three headers and three blocks come before it.
    end = 6 * 512 + 512 if kind == "tar" else len(data)
    for length in [*range(0, end, 97), end - 512, end - 8, end - 1]:
        archive.write_bytes(data[:length])
        refused(archive, "cut or damaged")
    archive.write_bytes(data[:end])
    unpack.extract(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255))
def test_a_damaged_archive_is_unpacked_or_refused_but_nothing_else(
    kind: str, position: float, value: int
) -> None:
    tree = {"a": CONTENT[:300], "b/c": b"text" * 50}
    with TemporaryDirectory() as name:
        archive = pack(Path(name, f"a.{kind}"), tree)
        data = bytearray(archive.read_bytes())
        data[int(position * len(data))] ^= value
        archive.write_bytes(data)
        try:
            unpack.extract(archive, Path(name, "out"))
        except MixframeError as error:
            assert str(archive) in str(error)  # noqa: PT017
            assert [p.name for p in Path(name).iterdir()] == [archive.name]


def test_a_folder_that_is_there_is_kept_and_an_interrupted_attempt_is_not(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", {"a": b"new"})
    left = tmp_path / ".out.unpacking"
    left.mkdir()
    (left / "stale").write_text("old")
    unpack.extract(archive, tmp_path / "out")
    assert tree_of(tmp_path / "out") == {"a": b"new"}
    assert not left.exists()
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(MixframeError, match="already there"):
        unpack.extract(archive, tmp_path / "out")
    assert tree_of(tmp_path / "out") == {"a": b"mine"}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, "no such archive"),
        (lambda p: p.mkdir(), "no such archive"),
        (lambda p: p.write_text("<html>log in first</html>" * 99), "cut or damaged"),
    ],
)
def test_what_is_no_archive_is_refused(
    tmp_path: Path, make: Callable[[Path], object], match: str
) -> None:
    make(tmp_path / "a.tar.gz")
    refused(tmp_path / "a.tar.gz", match)
