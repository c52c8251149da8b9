"""Corpora from a server, from a lab's folder, and from archives that cannot be trusted."""

import io
import re
import tarfile

import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file
from mixframe.corpora import PUBLISHED, archives
from mixframe.corpora.archives import Archive, Download, download
from mixframe.corpora.trials import with_audio
from mixframe.metrics.trialfiles import parse
from tests.corpora.build import ARCHIVES, LAYOUT, packed, unpacked
from tests.corpora.test_trials import section as protocol_section


def section(kind, path="", addresses=(), archives=None, disk_gb=0):
    names = archives or dict.fromkeys(ARCHIVES[kind], "")
    return Download(
        kind=kind,
        path=str(path),
        addresses=list(addresses),
        archives={n: Archive(url="", checksum=c, bytes=0) for n, c in names.items()},
        disk_gb=disk_gb,
    )


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The data root of the test."""
    monkeypatch.setenv("MIXFRAME_DATA", str(tmp_path / "root"))


def tree(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("kind", LAYOUT)
def test_an_unpacked_folder_is_used_as_it_is(tmp_path, kind, capsys):
    source = unpacked(kind, tmp_path / "lab")
    before = tree(source)
    entry = download(section(kind, source), tmp_path / "root" / "corpus")
    assert entry["roots"] == ["data/corpus/in_place"]
    assert {f["path"] for f in entry["files"]} == {
        f"data/corpus/in_place/{protocol}" for protocol, *_ in LAYOUT[kind].values()
    }
    assert tree(source) == before
    names = {p.name for p in (tmp_path / "root" / "corpus").iterdir()}
    assert names == {".lock", "in_place"}
    assert f"licence: {PUBLISHED[kind].licence}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", LAYOUT)
def test_a_folder_of_archives_stays_untouched(tmp_path, kind):
    source = packed(kind, unpacked(kind, tmp_path / "whole"), tmp_path / "lab")
    before = tree(source)
    entry = download(section(kind, source), tmp_path / "root" / "corpus")
    assert tree(source) == before
    tars = [name for name in ARCHIVES[kind] if name.endswith(".tar")]
    assert [r for r in entry["roots"] if r.endswith(".tar")] == [
        f"data/corpus/in_place/{t}" for t in tars
    ]
    assert len(entry["files"]) == len(LAYOUT[kind])
    assert download(section(kind, source), tmp_path / "root" / "corpus") == entry


def test_a_cut_download_goes_on_and_is_unpacked(tmp_path, site):
    kind = "asvspoof2021_la"
    packed(kind, unpacked(kind, tmp_path / "whole"), site.folder)
    name = "ASVspoof2021_LA_eval.tar.gz"
    checksum = "sha256:" + sha256_file(site.folder / name)
    site.cuts[name] = 20_000
    known = {"LA-keys-full.tar.gz": "", name: checksum}
    params = section(kind, addresses=[site.url], archives=known)
    entry = download(params, tmp_path / "root" / "corpus")
    assert (name, "bytes=20000-") in site.asked
    audio = archives.audio(
        [tmp_path / "root" / "corpus" / "ASVspoof2021_LA_eval"],
        PUBLISHED[kind].parts["keys"],
        tmp_path,
        ".flac",
    )
    assert len(dict(audio)) == 8
    assert [f["path"].endswith("ASVTorch_Kaldi/score.txt") for f in entry["asv"]] == [True]
    # What is there is not fetched again, even if the archives were removed to save space.
    (tmp_path / "root" / "corpus" / name).unlink()
    asked = len(site.asked)
    assert download(params, tmp_path / "root" / "corpus") == entry
    assert len(site.asked) == asked


def test_a_wrong_checksum_leaves_nothing_to_unpack(tmp_path, site):
    kind = "in_the_wild"
    packed(kind, unpacked(kind, tmp_path / "whole"), site.folder)
    params = section(
        kind, addresses=[site.url], archives={"release_in_the_wild.zip": "sha256:" + "0" * 64}
    )
    with pytest.raises(MixframeError, match=r"sha256 [0-9a-f]+, expected 000"):
        download(params, tmp_path / "root" / "corpus")
    assert [p.name for p in (tmp_path / "root" / "corpus").iterdir()] == [".lock"]


def test_the_second_address_serves_where_the_first_does_not(tmp_path, site):
    kind = "in_the_wild"
    packed(kind, unpacked(kind, tmp_path / "whole"), site.folder)
    params = section(kind, addresses=[f"{site.url}gone/", site.url])
    assert download(params, tmp_path / "root" / "corpus")["files"]


def test_without_network_the_message_says_what_to_fetch_and_where_to_put_it(tmp_path):
    with pytest.raises(MixframeError) as error:
        download(
            section("asvspoof5", addresses=["http://127.0.0.1:1/"]), tmp_path / "root" / "corpus"
        )
    text = str(error.value)
    for name in ARCHIVES["asvspoof5"]:
        assert name in text
    assert "from https://zenodo.org/records/14498691 into a folder" in text
    assert "key `path`" in text
    assert f"put the files into {tmp_path / 'root' / 'corpus'}/" in text


def test_too_small_a_disk_is_named_before_anything_is_fetched(tmp_path, site):
    params = section("in_the_wild", addresses=[site.url], disk_gb=10**6)
    with pytest.raises(MixframeError, match=r"In-the-Wild with its archives needs .* `path`"):
        download(params, tmp_path / "root" / "corpus")
    assert site.asked == []


def test_a_folder_without_the_corpus_is_refused(tmp_path):
    with pytest.raises(MixframeError, match="no such folder"):
        download(section("asvspoof5", tmp_path / "none"), tmp_path / "root" / "corpus")
    (tmp_path / "lab").mkdir()
    with pytest.raises(MixframeError, match=r"none of the protocols of ASVspoof 5 in it"):
        download(section("asvspoof5", tmp_path / "lab"), tmp_path / "root" / "corpus")


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path):
    kind = "asvspoof2021_la"
    source = packed(kind, unpacked(kind, tmp_path / "whole"), tmp_path / "lab")
    with tarfile.open(source / "ASVspoof2021_LA_eval.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(MixframeError, match=r"'\.\./outside': a name that leaves the folder"):
        download(section(kind, source), tmp_path / "root" / "corpus")
    assert not list(tmp_path.rglob("outside"))
    names = {p.name for p in (tmp_path / "root" / "corpus").iterdir()}
    assert names == {".lock", "in_place", "LA-keys-full"}


def test_audio_that_is_there_twice_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = unpacked("asvspoof5", tmp_path / "lab")
    with tarfile.open(tmp_path / "flac_T_aa.tar", "w") as archive:
        archive.add(source / "flac_T", "flac_T")
    part = PUBLISHED["asvspoof5"].parts["train"]
    files = archives.audio([source, tmp_path / "flac_T_aa.tar"], part, source, ".flac")
    pairs = list(files)
    assert len(pairs) == 2 * len(dict(pairs)) == 16
    table = parse(source / part.protocol, PUBLISHED["asvspoof5"].form).assign(file="p", set="train")
    with pytest.raises(MixframeError) as error:
        with_audio([(table, pairs)], "", protocol_section("asvspoof5"), 0, 1)
    assert str(error.value).count("already") == 8
    assert re.search(r"_aa\.tar: T_0000000000 is in .*/T_0000000000\.flac al", str(error.value))


def test_a_cut_tar_is_named(tmp_path):
    source = unpacked("asvspoof5", tmp_path / "lab")
    path = tmp_path / "flac_T_aa.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(source / "flac_T", "flac_T")
    path.write_bytes(path.read_bytes()[:30_000])
    part = PUBLISHED["asvspoof5"].parts["train"]
    with pytest.raises(MixframeError, match=r"flac_T_aa\.tar: not a tar, cut or damaged"):
        list(archives.audio([path], part, source / part.protocol, ".flac"))


def test_a_tar_of_headers_without_end_is_named(tmp_path):
    path = tmp_path / "flac_T_aa.tar"
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    path.write_bytes((info.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 2_000)
    part = PUBLISHED["asvspoof5"].parts["train"]
    with pytest.raises(MixframeError, match=r"flac_T_aa\.tar: not a tar, cut or damaged"):
        list(archives.audio([path], part, tmp_path / part.protocol, ".flac"))
