"""Datasets with their audio inside Parquet."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixframe.audio import manifest
from mixframe.audio.io import encode_flac
from mixframe.base.errors import MixframeError
from mixframe.corpora import arena
from tests.conftest import tone

AUDIO = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SCHEMA = pa.schema({"path": pa.string(), "audio": AUDIO, "label": pa.int64(), "notes": pa.string()})


def row(i, **changes):
    notes = {
        "utterance_id": f"LA_E_{i}",
        "speaker_id": f"LA_{i % 3}",
        "codec": "alaw",
        "attack_id": "A07" if i % 2 else "bonafide",
        "phase": "eval" if i < 6 else "hidden",
        "trim": "notrim",
    }
    audio = {"bytes": encode_flac(tone(4000 + i, i)), "path": f"LA_E_{i}.flac"}
    found = {"path": f"LA_E_{i}.flac", "audio": audio, "label": i % 2, "notes": json.dumps(notes)}
    return found | changes


def shards(folder, *parts, labels=None):
    (folder / "data").mkdir(parents=True)
    if labels is not None:
        rows = [{"utterance_id": name, "label": label} for name, label in labels]
        schema = pa.schema({"utterance_id": pa.string(), "label": pa.int8()})
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data" / "labels.parquet")
    for n, rows in enumerate(parts):
        path = folder / "data" / f"test-{n:05d}-of-{len(parts):05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="snappy")
    return folder


def fetch(path, data):
    section = arena.Download(
        kind="arena",
        repo="SpeechAntiSpoofingBenchmarks/ASVspoof2021_LA",
        revision="0" * 40,
        path=str(path) if path else "",
        disk_gb=0,
    )
    return arena.download(section, data)


def read(entry, **changes):
    values = {"set": "eval", "subsets": [], "trials": 8, "prefix": ""}
    values |= {"decode": True, "max_missing": 0}
    section = arena.Protocol.model_validate({"kind": "arena"} | values | changes)
    return arena.protocol(section, 1, entry, None, 1)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_shards_become_a_manifest(tmp_path):
    source = shards(tmp_path / "hub", [row(i) for i in range(5)], [row(i) for i in range(5, 8)])
    entry = fetch(source, tmp_path / "data")
    table = manifest.check(read(entry), "test").set_index("utterance")
    assert len(table) == 8
    assert table["samples"].tolist() == [4000 + i for i in range(8)]
    first = table.loc["LA_E_1"]
    assert (first["label"], first["attack"], first["codec"]) == ("spoof", "A07", "alaw")
    assert (first["speaker"], first["subset"], first["trim"]) == ("LA_1", "eval", "notrim")
    assert table.loc["LA_E_0", "attack"] == "-"
    assert manifest.ref(first).open().getvalue() == row(1)["audio"]["bytes"]
    assert len(read(entry, subsets=["eval"])) == 6


def test_a_prefix_stands_before_every_id(tmp_path):
    entry = fetch(shards(tmp_path / "hub", [row(i) for i in range(8)]), tmp_path / "data")
    table = read(entry, prefix="21LA/").set_index("utterance")
    assert manifest.ref(table.loc["21LA/LA_E_1"]).open().getvalue() == row(1)["audio"]["bytes"]
    assert set(table.index) == {f"21LA/{name}" for name in read(entry)["utterance"]}


def test_what_is_unpacked_stays(tmp_path):
    source = shards(tmp_path / "hub", [row(i) for i in range(8)])
    entry = fetch(source, tmp_path / "data")
    tar = next((tmp_path / "data").glob("*.tar"))
    before = tar.stat().st_mtime_ns
    assert fetch(source, tmp_path / "data") == entry
    assert tar.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label": 2}, "row 3: ValueError"),
        ({"notes": "no json"}, "row 3: JSONDecodeError"),
        ({"notes": '{"utterance_id": "a b"}'}, "row 3: .*'a b' is empty or has spaces"),
        ({"notes": "{}"}, r"row 3: KeyError\('utterance_id'\)"),
        ({"notes": "[]"}, "row 3: AttributeError"),
        ({"notes": "[" * 100_000}, "row 3: RecursionError"),
        ({"audio": {"bytes": b"", "path": "x"}}, "row 3: .*no audio for LA_E_2"),
    ],
)
def test_bad_rows_are_named_and_leave_nothing(tmp_path, changes, expected):
    source = shards(tmp_path / "hub", [row(0), row(1), row(2, **changes)])
    with pytest.raises(MixframeError, match=rf"test-00000-of-00001\.parquet, {expected}"):
        fetch(source, tmp_path / "data")
    assert [p.name for p in (tmp_path / "data").iterdir()] == [".lock"]


def test_duplicates_wrong_counts_and_bad_audio_are_named(tmp_path):
    bad = row(2, audio={"bytes": b"fLaC and no more", "path": "x"})
    entry = fetch(shards(tmp_path / "hub", [row(0), row(1), bad, row(1)]), tmp_path / "data")
    with pytest.raises(MixframeError) as error:
        read(entry)
    assert "00001.trials.parquet, line 4: utterance 'LA_E_1' is there twice" in str(error.value)
    assert "4 trials, expected 8" in str(error.value)
    entry = fetch(shards(tmp_path / "hub2", [row(0), row(1), bad]), tmp_path / "data2")
    with pytest.raises(MixframeError, match=r"trials\.parquet, line 3: LA_E_2: .*not decodable"):
        read(entry, trials=3)
    assert len(read(entry, trials=3, max_missing=1).attrs["left_out"]) == 1


def test_shards_without_rows_or_cut_leave_nothing(tmp_path):
    source = shards(tmp_path / "hub", [])
    with pytest.raises(MixframeError, match=r"test-00000-of-00001\.parquet: a table without rows"):
        fetch(source, tmp_path / "data")
    path = shards(tmp_path / "cut", [row(i) for i in range(8)]) / "data"
    path = path / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MixframeError, match=r"00001\.parquet: not Parquet, cut or damaged"):
        fetch(tmp_path / "cut", tmp_path / "data")
    assert [p.name for p in (tmp_path / "data").iterdir()] == [".lock"]


def test_a_deeply_nested_shard_is_named(tmp_path):
    kind = pa.int32()
    for _ in range(300):
        kind = pa.struct([("a", kind)])
    path = tmp_path / "hub" / "data" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    columns = {"path": ["a"], "audio": pa.array([None], kind), "label": [0], "notes": ["{}"]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(MixframeError, match=r"00001\.parquet: not Parquet.*too deeply nested"):
        fetch(tmp_path / "hub", tmp_path / "data")


def test_other_parquet_is_refused(tmp_path):
    folder = tmp_path / "hub"
    (folder / "data").mkdir(parents=True)
    with pytest.raises(MixframeError, match=r"no data/test-\*\.parquet in it"):
        fetch(folder, tmp_path / "data")
    path = folder / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pa.table({"audio": [1], "key": [0]}), path)
    with pytest.raises(MixframeError, match="has the columns audio, key, expected path"):
        fetch(folder, tmp_path / "data")
    path.write_bytes(b"PAR1")
    with pytest.raises(MixframeError, match="not Parquet, cut or damaged"):
        fetch(folder, tmp_path / "data")


def test_shards_and_labels_come_from_the_hub_at_the_commit(tmp_path, monkeypatch):
    source = shards(tmp_path / "hub", [row(i) for i in range(8)], labels=LABELLED)
    (source / "data" / "other.bin").write_bytes(b"")

    def serve(repo, *, repo_type, revision, allow_patterns, local_dir):
        assert (repo.split("/")[1], repo_type, revision) == ("ASVspoof2021_LA", "dataset", "0" * 40)
        for path in (path for pattern in allow_patterns for path in source.glob(pattern)):
            (local_dir / "data").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, local_dir / "data")

    monkeypatch.setattr("huggingface_hub.snapshot_download", serve)
    entry = fetch("", tmp_path / "data")
    assert len(read(entry, trials=0)) == 8
    served = {path.name for path in (tmp_path / "data" / "hub" / "data").iterdir()}
    assert served == {"test-00000-of-00001.parquet", "labels.parquet"}


def test_without_the_hub_the_message_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MixframeError, match=r"(?s)the hub did not serve it.*key `path`"):
        fetch("", tmp_path / "data")


def noted(i, **notes):
    return row(i, notes=json.dumps({"utterance_id": f"LA_E_{i}"} | notes))


@pytest.mark.parametrize(
    ("notes", "attack"),
    [
        ({"attack_id": "A01", "attack": "other", "generator": "x"}, "A01"),
        ({"attack_id": "-", "attack": "A02", "vocoder": "x"}, "A02"),
        ({"generator": "ljspeech_tts", "vocoder": "hifigan"}, "ljspeech_tts"),
        ({"attack_id": None, "vocoder": "hifigan"}, "hifigan"),
        ({"vocoder": "-", "system_id": 7}, "7"),
        ({"algorithm": "vits"}, "vits"),
        ({"source": "somewhere"}, "unknown"),
    ],
)
def test_what_made_a_spoof_is_its_attack(tmp_path, notes, attack):
    bona_fide = noted(0, generator="a microphone", vocoder="gt", attack_id="bonafide")
    entry = fetch(shards(tmp_path / "hub", [bona_fide, noted(1, **notes)]), tmp_path / "data")
    table = read(entry, trials=2).set_index("utterance")
    assert table["attack"].to_dict() == {"LA_E_0": "-", "LA_E_1": attack}


LABELLED = [(f"LA_E_{i}", i % 2) for i in range(8)]


def test_labels_say_how_many_trials_there_are(tmp_path):
    rows = [row(i) for i in range(8)]
    entry = fetch(shards(tmp_path / "hub", rows, labels=LABELLED), tmp_path / "data")
    assert [file["path"].rsplit("/")[-1] for file in entry["files"]][1:] == ["labels.parquet"]
    assert len(read(entry, trials=0)) == 8
    plain = fetch(shards(tmp_path / "plain", rows), tmp_path / "data2")
    with pytest.raises(MixframeError, match=r"trials = 0: the dataset has no labels\.parquet"):
        read(plain, trials=0)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([*LABELLED, ("LA_E_8", 0)], "'LA_E_8' is in labels.parquet, in no shard"),
        (LABELLED[:-1], "'LA_E_7' is spoof, not there in labels.parquet"),
        ([("LA_E_0", 1), *LABELLED[1:]], "'LA_E_0' is bonafide, spoof in labels.parquet"),
    ],
)
def test_labels_that_differ_from_the_shards_are_named(tmp_path, labels, expected):
    source = shards(tmp_path / "hub", [row(i) for i in range(8)], labels=labels)
    with pytest.raises(MixframeError) as error:
        read(fetch(source, tmp_path / "data"), trials=0)
    assert expected in str(error.value)


def test_bad_labels_are_named(tmp_path):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"utterance_id": ["a", "b", "a"], "label": [0, 2, 1]}), path)
    with pytest.raises(MixframeError, match=r"(?s)label 2 of 'b'.*'a' is there 2 times"):
        arena.read_labels(path)
    pq.write_table(pa.table({"utterance_id": ["a"]}), path)
    with pytest.raises(MixframeError, match=r"labels\.parquet: no column label"):
        arena.read_labels(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(MixframeError, match="not Parquet, cut or damaged"):
        arena.read_labels(path)
