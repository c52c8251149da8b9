import hashlib
import io
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.files import stage_lock
from mixframe.base.schema import validate
from mixframe.corpora.demo import source

PROMPTS = {
    "hello.g722": b"hello" * 100,
    "is.g722": b"",
    "digits/0.g722": b"zero" * 77,
    "digits/10.g722": b"ten" * 512,
    "silence/1.g722": b"\xfe" * 800,
}
NOISE = {"LICENSE-asterisk-core-en-1.6.1": b"CC-BY-SA", "core-sounds-en.txt": b"; hello: hi"}
OTHER = {**PROMPTS, "hello.g722": b"hallo" * 100}
RUSSIAN = "6e1b82493037072840cad9371b8bdabcdf627fb43d188314e2a588886eab17f5"
"""The sha256 of ru_RU_f_IvrvoiceRU, version 1.6.1."""
REAL_PATH = os.environ["PATH"]
Tree = dict[str, bytes]


def canonical(voice: str, tree: Tree) -> bytes:
    """The tar of a voice, built by hand from the format's definition (POSIX.1-1988, ustar)."""
    out = b""
    for name in sorted(f"{voice}/{n}" for n in tree):
        data = tree[name.partition("/")[2]]
        header = bytearray(512)
        for offset, value in (
            (0, name.encode()),
            (100, b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % len(data) + b"0" * 11 + b"\0"),
            (148, b" " * 8 + b"0"),
            (257, b"ustar\x0000"),
            (329, b""),
        ):
            header[offset : offset + len(value)] = value
        header[148:156] = b"%06o\0 " % sum(header)
        out += bytes(header) + data + bytes(-len(data) % 512)
    return out + bytes(1024) + bytes(-(len(out) + 1024) % 10240)


SHA256 = hashlib.sha256(canonical("voice_A", PROMPTS)).hexdigest()


def tar_of(tree: Tree, mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in tree.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(data), 1_500_000_000, "someone"
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def make_folder(folder: Path, tree: Tree) -> None:
    for name, data in {**tree, **NOISE}.items():
        path = folder / "voice_A" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def make_archive(folder: Path, tree: Tree) -> None:
    data = tar_of({**NOISE, **tree}, "w:gz")
    (folder / "asterisk-core-sounds-en-g722-1.6.1.tar.gz").write_bytes(data)


def make_deb(folder: Path, tree: Tree, suffix: str = "xz") -> None:
    """A Debian package: an ar archive of three members (deb(5)), one of them of odd size."""
    inside = {f"./usr/share/asterisk/sounds/voice_A/{n}": d for n, d in tree.items()}
    inside["./usr/share/doc/asterisk-core-sounds-en-g722/copyright"] = b"CC-BY-SA"
    compressed = tar_of(inside, "w:xz")
    if suffix == "zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(tar_of(inside, "w:"))
        compressed = sink.getvalue().to_pybytes()
    out = b"!<arch>\n"
    for name, data in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        (f"data.tar.{suffix}", compressed),
    ):
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
        out += header.encode() + data + b"\n" * (len(data) % 2)
    (folder / "asterisk-core-sounds-en-g722_1.6.1-1_all.deb").write_bytes(out)


def make_deb_of_ubuntu(folder: Path, tree: Tree) -> None:
    make_deb(folder, tree, "zst")


MAKERS = [make_folder, make_archive, make_deb, make_deb_of_ubuntu]


def params(**changes: Any) -> source.Download:
    plain = {
        "kind": "demo",
        "sources": ["folder"],
        "folder": "have",
        "upstream": "http://127.0.0.1:9/sounds/",
        "version": "1.6.1",
        "voices": {"voice_A": {"language": "en", "sha256": SHA256}},
    }
    return validate(source.Download, {**plain, **changes}, "test")


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no apt-get of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("tar", "sh", "cp", "cat", "touch", "echo", "rm"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    (tmp_path / "have").mkdir()
    return tmp_path


def data_files() -> list[str]:
    """What is in the data folder, without the lock."""
    return sorted(p.name for p in Path("data").iterdir() if p.name != ".lock")


@pytest.mark.parametrize("make", MAKERS)
def test_every_form_of_a_voice_gives_the_same_tar(make: Callable[[Path, Tree], None]) -> None:
    make(Path("have"), PROMPTS)
    entry = source.download(params(), Path("data"))
    expected = canonical("voice_A", PROMPTS)
    assert Path("data/voice_A.tar").read_bytes() == expected
    file = {"path": "data/voice_A.tar", "bytes": len(expected), "sha256": SHA256}
    assert entry == {"kind": "demo", "files": [file]}
    assert data_files() == ["voice_A.tar"]
    entry = source.download(params(), Path("data").absolute())
    assert entry["files"] == [file]


def test_prompts_keep_their_order_and_names() -> None:
    make_archive(Path("have"), PROMPTS)
    source.download(params(), Path("data"))
    with tarfile.open("data/voice_A.tar") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [
            "voice_A/digits/0.g722",
            "voice_A/digits/10.g722",
            "voice_A/hello.g722",
            "voice_A/is.g722",
            "voice_A/silence/1.g722",
        ]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_a_second_run_needs_no_source(capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(Path("have"), PROMPTS)
    first = source.download(params(), Path("data"))
    assert "5 prompts from source 'folder'" in capsys.readouterr().err
    shutil.rmtree("have")
    before = Path("data/voice_A.tar").stat().st_mtime_ns
    assert source.download(params(), Path("data")) == first
    assert Path("data/voice_A.tar").stat().st_mtime_ns == before
    assert "verified" in capsys.readouterr().err


def test_a_damaged_tar_is_made_again_and_voices_that_are_there_are_kept() -> None:
    make_folder(Path("have"), PROMPTS)
    source.download(params(), Path("data"))
    Path("data/voice_A.tar").write_bytes(b"damaged")
    source.download(params(), Path("data"))
    assert Path("data/voice_A.tar").read_bytes() == canonical("voice_A", PROMPTS)
    lacking = {
        "voice_A": {"language": "en", "sha256": SHA256},
        "B": {"language": "ja", "sha256": "0" * 64},
    }
    with pytest.raises(MixframeError) as caught:
        source.download(params(voices=lacking), Path("data"))
    assert "B, source 'folder'" in str(caught.value)
    assert "voice_A" not in str(caught.value)
    assert data_files() == ["voice_A.tar"]


def test_a_source_with_other_content_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(Path("have"), OTHER)
    found = hashlib.sha256(canonical("voice_A", OTHER)).hexdigest()
    with pytest.raises(MixframeError, match=rf"voice_A.*'folder'.*{found}, expected {SHA256}"):
        source.download(params(), Path("data"))
    assert data_files() == []
    fake_apt(":", PROMPTS)
    source.download(params(sources=["folder", "debian"]), Path("data"))
    assert Path("data/voice_A.tar").read_bytes() == canonical("voice_A", PROMPTS)
    assert "5 prompts from source 'debian'" in capsys.readouterr().err


def fake_apt(before_download: str, tree: Tree) -> None:
    """An apt-get that knows one package, and writes down how it was called."""
    Path("mirror").mkdir(exist_ok=True)
    make_deb(Path("mirror"), tree)
    here = Path.cwd()
    script = Path("programs/apt-get")
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {here}/calls\n'
        'case "$*" in\n'
        f"*update) touch {here}/updated ;;\n"
        f"*download*) {before_download}\n"
        f"  cp {here}/mirror/*.deb . ;;\n"
        "esac\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def calls() -> list[str]:
    return [line.split()[-1] for line in Path("calls").read_text().splitlines()]


NO_LISTS = "[ -e ../../updated ] || { echo 'E: Unable to locate package x' >&2; exit 100; }"
PACKAGE = "asterisk-core-sounds-en-g722=1.6.1-*"


def test_apt_get_needs_no_update_where_it_has_lists() -> None:
    fake_apt(":", PROMPTS)
    source.download(params(sources=["debian"]), Path("data"))
    assert calls() == [PACKAGE]


def test_root_renews_the_package_lists_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    fake_apt(NO_LISTS, PROMPTS)
    source.download(params(sources=["debian"]), Path("data"))
    assert calls() == [PACKAGE, "update", PACKAGE]
    Path("calls").unlink()
    fake_apt("echo 'E: Unable to locate package x' >&2; exit 100;", PROMPTS)
    two = {v: {"language": v, "sha256": "0" * 64} for v in ("en", "es")}
    with pytest.raises(MixframeError, match="Unable to locate"):
        source.download(params(sources=["debian"], voices=two), Path("data"))
    assert calls().count("update") == 1


def test_others_are_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake_apt(NO_LISTS, PROMPTS)
    with pytest.raises(MixframeError, match="sudo apt-get update"):
        source.download(params(sources=["debian"]), Path("data"))
    assert calls() == [PACKAGE]


def test_when_all_sources_fail_one_message_has_every_reason() -> None:
    everything = params(sources=["folder", "debian", "upstream"], folder="")
    with pytest.raises(MixframeError) as caught:
        source.download(everything, Path("data"))
    message = str(caught.value)
    for reason in (
        "voice_A, source 'folder': the key 'folder' is empty",
        "voice_A, source 'debian': apt-get is not installed",
        "voice_A, source 'upstream': http://127.0.0.1:9/sounds/asterisk-core-sounds-en-g722-1.6.1",
        "no connection",
        "By hand: ",
    ):
        assert reason in message
    assert data_files() == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"folder": "nowhere"}, "nowhere: no such folder"),
        ({}, r"have: has neither voice_A/ nor asterisk-core-sounds-en-g722_1\.6\.1-\*\.deb nor"),
        ({"version": "1.7"}, r"neither.*asterisk-core-sounds-en-g722-1\.7\.tar\.gz"),
    ],
)
def test_a_folder_without_the_voice_is_named(change: dict[str, str], match: str) -> None:
    with pytest.raises(MixframeError, match=match):
        source.download(params(**change), Path("data"))


def test_a_folder_with_two_voices_is_not_guessed_at() -> None:
    make_archive(Path("have"), {"a/x.g722": b"1", "b/x.g722": b"2"})
    with pytest.raises(MixframeError, match="of one voice expected, found a, b"):
        source.download(params(), Path("data"))
    make_archive(Path("have"), {})
    with pytest.raises(MixframeError, match=r"no \.g722 files"):
        source.download(params(), Path("data"))


@pytest.mark.parametrize("make", [make_deb, make_deb_of_ubuntu])
def test_a_cut_package_is_refused_wherever_it_was_cut(make: Callable[[Path, Tree], None]) -> None:
    make(Path("have"), PROMPTS)
    package = next(Path("have").glob("*.deb"))
    data = package.read_bytes()
    for length in (0, 5, 8, 30, 70, 72, 150, len(data) // 2, len(data) - 40):
        package.write_bytes(data[:length])
        with pytest.raises(MixframeError, match=r"asterisk-core-sounds-en-g722_1\.6\.1-1_all"):
            source.download(params(), Path("data"))
        assert data_files() == []


def test_two_runs_do_not_meet() -> None:
    make_folder(Path("have"), PROMPTS)
    with stage_lock(Path("data/.lock"), "test"), pytest.raises(MixframeError, match="another"):
        source.download(params(), Path("data"))


@pytest.mark.parametrize(
    "change",
    [
        {"sources": []},
        {"sources": ["folder", "folder"]},
        {"sources": ["mirror"]},
        {"upstream": "ftp://x/"},
        {"version": "1.6;rm"},
        {"voices": {}},
        {"voices": {"../voice": {"language": "en", "sha256": SHA256}}},
        {"voices": {"v": {"language": "e n", "sha256": SHA256}}},
        {"voices": {"v": {"language": "en", "sha256": SHA256.upper()}}},
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MixframeError, match="test:"):
        params(**change)


def test_upstream_archives_come_by_http() -> None:
    site = Path("site/sounds")
    site.mkdir(parents=True)
    make_archive(site, PROMPTS)
    handler = partial(SimpleHTTPRequestHandler, directory="site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        there = f"http://127.0.0.1:{server.server_address[1]}"
        source.download(params(sources=["upstream"], upstream=f"{there}/sounds"), Path("data"))
        with pytest.raises(MixframeError, match="HTTP 404"):
            source.download(params(sources=["upstream"], upstream=there), Path("more"))
        server.shutdown()
        thread.join()
    assert Path("data/voice_A.tar").read_bytes() == canonical("voice_A", PROMPTS)
    assert data_files() == ["voice_A.tar"]


@pytest.mark.slow
def test_a_real_voice_by_apt_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", REAL_PATH)
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    name = "ru_RU_f_IvrvoiceRU"
    real = params(sources=["debian"], voices={name: {"language": "ru", "sha256": RUSSIAN}})
    source.download(real, Path("data"))
    with tarfile.open(f"data/{name}.tar") as tar:
        sizes = {m.name: m.size for m in tar}
    assert len(sizes) == 576
    assert [n for n, size in sizes.items() if size == 0] == [f"{name}/is.g722"]
