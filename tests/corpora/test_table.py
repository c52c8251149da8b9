"""Corpora that a preset declares: every ready entry on its own layout, and faults in it."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml

from mixframe.audio import manifest
from mixframe.audio.io import tar_writer
from mixframe.base.errors import MixframeError
from mixframe.base.folders import located
from mixframe.base.schema import validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.corpora import table
from mixframe.corpora.check import check, contamination, look
from tests.corpora.layouts import LAYOUTS, build, sound

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "presets" / "corpora").glob("*.yaml"))
FIELDS = ["utterance", "set", "label", "speaker", "attack"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)


def sections(name, changes=()):
    values = read_yaml(ROOT / "presets" / "corpora" / f"{name}.yaml")
    protocol = values["protocol"][name] | {"trials": counts(name)} | dict(changes)
    return (
        validate(table.Download, values["download"][name], name),
        validate(table.Protocol, protocol, name),
    )


def counts(name):
    expected = {}
    for _, set_name, label, _, _ in LAYOUTS[name].trials:
        of_set = expected.setdefault(set_name, {"bonafide": 0, "spoof": 0})
        of_set[label] += 1
    return expected


def read(name, changes=()):
    """Download and read the corpus in data/<name>."""
    download, protocol = sections(name, changes)
    entry = table.download(download, Path("data") / name)
    return read_entry(entry, protocol)


def read_entry(entry, protocol):
    files = [file | {"path": str(located(file["path"]))} for file in entry["files"]]
    here = entry | {"roots": [str(located(root)) for root in entry["roots"]], "files": files}
    with tar_writer(Path("audio.tar")) as audio:
        return manifest.check(table.protocol(protocol, 1, here, audio, 1), "test")


def change(folder, old, new):
    """Replace a word in the files with labels, and in paths; say how many places were there."""
    places = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".csv", ".txt") and old in path.read_text():
            path.write_text(path.read_text().replace(old, new))
            places += 1
    for path in [p for p in folder.rglob("*") if p.is_file() and old in p.as_posix()]:
        target = Path(path.as_posix().replace(old, new))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        places += 1
    return places


def test_every_entry_has_a_layout():
    assert sorted(LAYOUTS) == NAMES
    assert len(NAMES) >= 14


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_yaml_as_dvc_writes_it(name):
    text = (ROOT / "presets" / "corpora" / f"{name}.yaml").read_text()
    assert dumps_yaml(loads_yaml(text, typ="rt")) == text
    assert "    # " in text


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_becomes_rows_of_the_manifest(name):
    layout = LAYOUTS[name]
    build(layout, Path("data") / name)
    rows = read(name)
    if sections(name)[1].segments.kind == "windows":
        # Sounds of the layouts are shorter than a window.
        rows["utterance"] = rows["utterance"].str.removesuffix("-0000")
    assert {tuple(row) for row in rows[FIELDS].itertuples(index=False)} == layout.trials
    assert len(rows) == len(layout.trials)
    assert (rows["samples"] >= 1600).all()
    assert (rows["source_rate"] == 16_000).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name):
    layout = LAYOUTS[name]
    folder = build(layout, Path("data") / name)
    download, protocol = sections(name)
    entry = table.download(download, folder)
    trials = look(name, download, protocol).trials
    gone = trials.iloc[-1]
    located(gone["path"]).unlink()
    # The list of files is that of the download: a file that goes later is missed.
    with pytest.raises(MixframeError) as error:
        read_entry(entry, protocol)
    assert f"line {gone['line']}: {gone['utterance']}: " in str(error.value)
    assert gone["path"] in str(error.value)


@pytest.mark.parametrize("name", [n for n in NAMES if LAYOUTS[n].unknown[0]])
def test_an_unknown_label_stops_the_run(name):
    folder = build(LAYOUTS[name], Path("data") / name)
    assert change(folder, *LAYOUTS[name].unknown)
    with pytest.raises(MixframeError, match=r"line \d+: unknown label '.*'; `labels` has "):
        read(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_count_is_named(name):
    build(LAYOUTS[name], Path("data") / name)
    expected = counts(name)
    first = sorted(expected)[0]
    expected[first]["spoof"] += 1
    says = (
        rf"line \d+: the set {first} ends with .* spoof trials, expected {expected[first]['spoof']}"
    )
    with pytest.raises(MixframeError, match=says):
        read(name, {"trials": expected})


TEXTS = [name for name in NAMES if LAYOUTS[name].texts]


@pytest.mark.parametrize("name", TEXTS)
def test_a_trial_that_is_there_twice_is_named_with_both_places(name):
    layout = LAYOUTS[name]
    build(layout, Path("data") / name)
    # The last file of the labels belongs to an evaluation set.
    path = Path("data") / name / sorted(layout.texts)[-1 if name != "codecfake_xie" else 0]
    path = path.with_name("test.txt") if name == "librisevoc" else path
    path = path.with_name("evaluation.csv") if name == "spoofceleb" else path
    lines = path.read_text().splitlines()
    last = next(line for line in reversed(lines) if "Unknown" not in line)
    path.write_text("\n".join([*lines, last]) + "\n")
    says = rf"line {len(lines) + 1}: utterance '.*' is in .*{path.name}, line \d+ already"
    with pytest.raises(MixframeError, match=says):
        read(name, {"trials": {}})


@pytest.mark.parametrize("name", TEXTS)
def test_a_byte_order_mark_and_crlf_change_nothing(name):
    folder = build(LAYOUTS[name], Path("data") / name)
    before = read(name)
    for text in LAYOUTS[name].texts:
        content = (folder / text).read_bytes()
        (folder / text).write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    after = read(name)
    assert after.drop(columns="offset").equals(before.drop(columns="offset"))


@pytest.mark.parametrize("name", TEXTS)
def test_line_ends_of_two_kinds_are_named(name):
    folder = build(LAYOUTS[name], Path("data") / name)
    path = max((folder / text for text in LAYOUTS[name].texts), key=lambda p: len(p.read_bytes()))
    lines = path.read_text().splitlines()
    # Three lines, of which the last counts for nothing: it may end with the file.
    content = "\n".join([lines[0], lines[-1] + "\r", lines[-1], ""])
    path.write_bytes(content.encode())
    with pytest.raises(MixframeError, match=rf"{path.name}, line 2: ends in CRLF where line 1"):
        read(name, {"trials": {}})


OWN = [
    ("a.wav,real\n", "a.wav,real,more\n", "line 2: 3 fields, expected 2 separated by ','"),
    ("a.wav,real\n", "\n", "line 2: a blank line"),
    ("a.wav,real\n", '"a.wav,real\n', "line 2: quoting: unexpected end of data"),
    ("file,label", "name,label", r"line 1: no column 'file'; there are name, label, \(table\)"),
    ("a.wav,real\n", "a,real\n", "line 2: utterance: 'a' has nothing that matches"),
    ("a.wav,real\n", "a.wav,REAL\n", "line 2: unknown label 'REAL'"),
]


@pytest.mark.parametrize(("old", "new", "expected"), OWN)
def test_what_a_table_must_not_have_is_named_with_file_and_line(old, new, expected):
    folder = build(LAYOUTS["own"], Path("data/own"))
    labels = folder / "labels.csv"
    assert old in labels.read_text()
    labels.write_text(labels.read_text().replace(old, new))
    with pytest.raises(MixframeError, match=rf"data/own/labels\.csv, {expected}"):
        read("own")


def test_bytes_that_are_not_text_are_named():
    folder = build(LAYOUTS["own"], Path("data/own"))
    (folder / "labels.csv").write_bytes(b"file,label\na.wav,real\n\xff.wav,fake\n")
    with pytest.raises(MixframeError, match=r"labels\.csv, line 3: byte 0xff is not UTF-8"):
        read("own")


def test_a_subset_that_no_set_names_stops_the_run():
    build(LAYOUTS["spoofceleb"], Path("data/spoofceleb"))
    with pytest.raises(MixframeError, match="unknown subset 'train'; `sets` has evaluation"):
        read("spoofceleb", {"sets": {"evaluation": "eval_spoofceleb"}})


def test_missing_audio_that_is_allowed_is_listed():
    folder = build(LAYOUTS["own"], Path("data/own"))
    (folder / "d.wav").unlink()
    (folder / "d.wav").mkdir()
    rows = read("own", {"max_missing": 1})
    assert len(rows) == 3


def test_a_folder_elsewhere_is_linked_and_an_absent_one_is_named(tmp_path):
    elsewhere = build(LAYOUTS["own"], tmp_path / "lab" / "mine")
    download, protocol = sections("own")
    download = download.model_copy(update={"path": str(elsewhere)})
    rows = read_entry(table.download(download, Path("data/own")), protocol)
    assert rows["path"].tolist()[0] == "data/own/in_place/a.wav"
    (elsewhere / "labels.csv").unlink()
    with pytest.raises(MixframeError, match=r"no file labels\.csv in it; fetch it from"):
        table.download(download, Path("data/own"))
    with pytest.raises(MixframeError, match="no such folder"):
        table.download(download.model_copy(update={"path": "/nowhere"}), Path("data/own"))


TIMES = "file,label,id,from,to\na.wav,real,one,0,0.05\na.wav,fake,two,0.05,{end}\n"


def segments_of(end):
    folder = Path("data/own")
    build(LAYOUTS["own"], folder)
    (folder / "labels.csv").write_text(TIMES.format(end=end))
    column = {"pattern": ""}
    values = {
        "utterance": column | {"column": "id"},
        "label": column | {"column": "label"},
        "start": column | {"column": "from"},
        "end": column | {"column": "to"},
    }
    form = {"delimiter": ",", "quoting": False, "header": True}
    return {
        "tables": {"all": {"form": form, "values": values, "audio": "{file}"}},
        "sets": {"-": "eval_own"},
        "trials": {},
        "segments": {"kind": "times", "start": "start", "end": "end", "unit": 1.0},
    }


def test_segments_are_parts_of_a_file():
    rows = read("own", segments_of("0.1")).set_index("utterance")
    assert rows["samples"].to_dict() == {"one": 800, "two": 800}
    assert rows["label"].to_dict() == {"one": "bonafide", "two": "spoof"}
    assert rows["path"].unique().tolist() == ["audio.tar"]
    assert "start" not in rows
    first = manifest.ref(rows.loc["one"]).open().getvalue()
    second = manifest.ref(rows.loc["two"]).open().getvalue()
    assert first[:4] == second[:4] == b"fLaC"
    assert first != second


@pytest.mark.parametrize(("end", "says"), [("0.2", "0.05 to 0.2 s is no part"), ("x", "no number")])
def test_segments_that_are_no_part_of_a_file_are_named(end, says):
    with pytest.raises(MixframeError, match=rf"labels\.csv, line 3: two: .*{says}"):
        read("own", segments_of(end))


@pytest.mark.parametrize(("seconds", "least", "expected"), [(0.04, 0.03, 2), (0.04, 0.01, 3)])
def test_windows_keep_or_drop_the_tail(seconds, least, expected):
    build(LAYOUTS["own"], Path("data/own"))
    how = {"kind": "windows", "seconds": seconds, "least_seconds": least}
    rows = read("own", {"segments": how})
    of_a = rows[rows["utterance"].str.startswith("a-")]
    assert of_a["utterance"].tolist() == [f"a-{i:04d}" for i in range(expected)]
    assert of_a["samples"].tolist()[:2] == [640, 640]


def test_check_says_what_a_run_would_see_and_writes_nothing():
    folder = build(LAYOUTS["own"], Path("data/own"))
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    (folder / "b.wav").write_bytes(b"RIFF")
    before[folder / "b.wav"] = b"RIFF"
    seen = look("own", *sections("own", {"trials": {"eval_own": {"spoof": 2}}}))
    assert seen.lines[1].startswith("  eval_own: 4 trials (2 bona fide, 2 spoof), 1 attacks, ")
    assert "3 of 4 files decoded: 16,000 Hz, channels 1, 0.10 to 0.10 s" in seen.lines[1]
    assert seen.lines[-1].endswith("could hold eval_own: {bonafide: 2}")
    assert len(seen.problems) == 1
    assert "labels.csv, line 3: b: not decodable" in seen.problems[0]
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_check_decodes_ten_files_of_a_set_and_looks_for_contamination():
    folder = build(LAYOUTS["own"], Path("data/own"))
    words = ["real", "fake"] * 12
    for i in range(24):
        shutil.copy(folder / f"{'abcd'[i % 4]}.wav", folder / f"x{i}.wav")
    rows = [f"x{i}.wav,{word}" for i, word in enumerate(words)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    (folder / "x1.wav").write_bytes(b"not among the ten")
    lines = check({"own": sections("own", {"trials": {}})}, None)
    assert "24 trials (12 bona fide, 12 spoof)" in lines[1]
    assert "; 10 of 10 files decoded: " in lines[1]
    assert lines[-2:] == ["contamination:", "  none"]


def test_what_training_has_heard_is_named():
    folder = build(LAYOUTS["own"], Path("data/own"))
    shutil.copy(folder / "a.wav", folder / "copy.wav")
    sound(folder / "new.wav", 9)
    (folder / "labels.csv").write_text(
        "file,label,part,source\na.wav,real,train,s1\nd.wav,fake,train,s2\n"
        "copy.wav,real,test,s3\nnew.wav,fake,test,s2\nb.wav,real,test,-\n"
    )
    protocol = read_yaml(ROOT / "presets/corpora/own.yaml")["protocol"]["own"]
    values = protocol["tables"]["all"]["values"]
    values["subset"] = {"column": "part", "pattern": ""}
    values["prompt"] = {"column": "source", "pattern": ""}
    protocol["sets"] = {"train": "train", "test": "eval_own"}
    rows = look("own", sections("own")[0], validate(table.Protocol, protocol, "own")).trials
    assert contamination(rows.assign(offset=0)) == [
        "eval_own: 1 trials have their audio in a training set under another name: copy",
        "eval_own: 1 trials share a source or text (prompt) with a training set: new",
    ]
    again = rows.assign(offset=0)
    again["path"] = again["path"].str.replace("b.wav", "d.wav")
    assert "eval_own: 1 trials have their audio in a training set: b" in contamination(again)
