"""Partly spoofed corpora in their exact layouts: from a folder or archives to regions."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.corpora import PARTIAL
from mixframe.corpora.kinds import KINDS, DownloadParams, ProtocolParams
from tests.corpora.layouts import PARTLY, build

PROTOCOL = PARTLY["partialspoof"].protocol
KINDS_OF_LABELS = sorted(PARTLY)


def test_each_corpus_is_here():
    assert set(PARTIAL) == set(PARTLY)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Stand in a folder whose data root is data/, and return a writer of corpora."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)

    def write(kind, folder="data/lab"):
        return build(PARTLY[kind], tmp_path / folder)

    return write


def download_of(kind, **more):
    values = {"kind": kind, "path": "lab", "addresses": [], "archives": {}, "disk_gb": 0} | more
    section = TypeAdapter(DownloadParams).validate_python(values)
    return KINDS[kind].download(section, _made(kind))


def _made(kind):
    path = Path("data", kind)
    path.mkdir(parents=True, exist_ok=True)
    return path


def protocol_of(kind, entry, **more):
    name, n = PARTLY[kind].part, len(PARTLY[kind].trials)
    values = {"kind": kind, "sets": {name: "eval"}, "trials": {name: n}, "decode": True}
    values |= {"max_missing": 0, "max_orphans": 0} | more
    section = TypeAdapter(ProtocolParams).validate_python(values)
    return KINDS[kind].protocol(section, 1, entry, None, 1)


@pytest.mark.parametrize("kind", KINDS_OF_LABELS)
def test_a_folder_becomes_rows_with_regions(kind, lab):
    lab(kind)
    table = protocol_of(kind, download_of(kind)).set_index("utterance")
    columns = ["label", "speaker", "attack"]
    trials = {u: (label, who, attack) for u, _, label, who, attack in PARTLY[kind].trials}
    assert {name: tuple(row) for name, row in table[columns].iterrows()} == trials
    assert table["regions"].to_dict() == PARTLY[kind].regions
    assert (table["set"] == "eval").all()


def test_nonspeech_inside_a_fake_part_is_a_key(lab):
    lab("partialspoof")
    entry = download_of("partialspoof")
    table = protocol_of("partialspoof", entry, nonspeech="spoof").set_index("utterance")
    assert table.loc["CON_D_0000029", "regions"] == [4000, 12000]
    with pytest.raises(ValidationError, match="nonspeech"):
        protocol_of("had", entry, nonspeech="spoof")


def test_zips_inside_the_zip_are_unpacked(lab, tmp_path):
    source = lab("had", "source")
    inner = source / "HAD/HAD_test/test.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        for path in sorted((source / "HAD/HAD_test/test").iterdir()):
            archive.write(path, f"test/{path.name}")
    shutil.rmtree(source / "HAD/HAD_test/test")
    _made("had")
    with zipfile.ZipFile(tmp_path / "data/had/HAD.zip", "w") as archive:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(source))
    archives = {"HAD.zip": {"url": "https://example.org/HAD.zip", "checksum": "", "bytes": 0}}
    # Unpacked already, so that nothing is fetched.
    with zipfile.ZipFile(tmp_path / "data/had/HAD.zip") as archive:
        archive.extractall(tmp_path / "data/had/HAD")
    entry = download_of("had", path="", archives=archives)
    assert len(protocol_of("had", entry)) == 2
    assert len(protocol_of("had", download_of("had", path="", archives=archives))) == 2


def test_a_tar_of_partialspoof_is_unpacked(lab, tmp_path):
    source = lab("partialspoof", "source")
    lab_folder = tmp_path / "data/lab"
    lab_folder.mkdir(parents=True)
    with tarfile.open(lab_folder / "database_dev.tar.gz", "w:gz") as archive:
        archive.add(source / "database", "database")
    archives = {"database_dev.tar.gz": {"url": "", "checksum": "", "bytes": 0}}
    entry = download_of("partialspoof", archives=archives)
    assert len(protocol_of("partialspoof", entry)) == 2


@pytest.mark.parametrize(
    ("kind", "file", "change", "message"),
    [
        ("partialspoof", PROTOCOL, ("CON spoof", "CON fake"), "line 1: unknown label 'fake'"),
        ("partialspoof", PROTOCOL, ("\n", "\r\n"), "line 1: has a carriage return"),
        ("partialspoof", PROTOCOL, ("LA_D_9497115", "CON_D_0000029"), "line 2: .*already"),
        (
            "partialspoof",
            "database/vad/dev/LA_D_9497115.vad",
            ("0.1 1.0 1", "0.1 1.0 0"),
            "line 2: LA_D_9497115 is bonafide, in .* it is spoof",
        ),
        (
            "partialspoof",
            "database/vad/dev/LA_D_9497115.vad",
            ("0.1 1.0 1", "0.1 1.0 7"),
            "LA_D_9497115.vad, line 2: unknown label '7'",
        ),
        ("partialspoof", "database/vad/dev/LA_D_9497115.vad", None, "line 2: .* not labelled"),
        (
            "llamapartialspoof",
            "label_R01TTS.0.a.txt",
            ("0.5000-spoof", "0.5000-fake"),
            "label_R01TTS.0.a.txt, line 1: unknown label 'fake'",
        ),
        ("had", "HAD/HAD_test/HAD_test_label.txt", ("-F", "-X"), "line 1: unknown label 'X'"),
        (
            "had",
            "HAD/HAD_test/HAD_test_label.txt",
            ("00000004", "00000003"),
            "line 2: HAD_test_00000003 is on line 1 already",
        ),
        ("partialedit", "PartialEdit_E1E2.csv", ("0.8,1.0", "1.0"), "line 1: 5 fields"),
        ("had", "HAD/HAD_test/test/HAD_test_00000003.wav", None, "line 1: .*no audio file"),
        ("had", "HAD/HAD_test/HAD_test_label.txt", None, "none of the protocols"),
        (
            "had",
            "HAD/HAD_test/HAD_test_label.txt",
            ("0.25-0.50-F/0.50-1.00-T", "0.25-5.0-T/5.0-6.0-F"),
            "HAD_test_00000003: a fake part begins at 5 s, after the 1 s of its audio",
        ),
    ],
)
def test_a_planted_fault_is_named(kind, file, change, message, lab):
    path = lab(kind) / file
    if change is None:
        path.unlink()
    else:
        text = path.read_bytes().decode()
        assert change[0] in text
        path.write_bytes(text.replace(*change).encode())
    with pytest.raises(MixframeError, match=message):
        protocol_of(kind, download_of(kind))


def test_a_wrong_count_is_named(lab):
    lab("had")
    entry = download_of("had")
    with pytest.raises(
        MixframeError, match=r"label\.txt, line 2: part test ends after 2 utterances, expected 3"
    ):
        protocol_of("had", entry, trials={"test": 3})


def test_sets_are_parts_of_the_corpus(lab):
    lab("had")
    with pytest.raises(ValidationError, match="'eval' is not of this corpus; it has train"):
        protocol_of("had", {}, sets={"eval": "eval"}, trials={"eval": 1})
    with pytest.raises(ValidationError, match="trials: expected a number for test"):
        protocol_of("had", {}, trials={})


def test_regions_reach_the_manifest(lab, tmp_path):
    lab("partialspoof")
    manifest.write(protocol_of("partialspoof", download_of("partialspoof")), tmp_path / "m.parquet")
    table = pd.read_parquet(tmp_path / "m.parquet").set_index("utterance")
    assert table.loc["CON_D_0000029", "regions"].tolist() == [4000, 8000, 9600, 12000]
