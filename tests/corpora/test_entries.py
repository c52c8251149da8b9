"""Every ready entry and every partly spoofed corpus: a small folder goes from `download` to an EER.

What is wrong in a table is planted in test_table.py; here it is in the labels of the others.
"""

import shutil
from pathlib import Path

import pytest
import yaml

from mixframe.audio import manifest
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json
from mixframe.corpora.entries import with_corpora
from mixframe.experiment.layout import Layout as Files
from mixframe.experiment.params import read_preset
from mixframe.metrics import detection, scorefiles
from mixframe.stages import download, evaluate, finetune, protocol, score
from mixframe.stages.context import Context
from tests.corpora.layouts import LAYOUTS, PARTLY, Layout, build

ROOT = Path(__file__).parents[2]
COMPUTE = Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned")
ALL = LAYOUTS | PARTLY
HEARD = Layout(
    {
        "labels.csv": "file,label,part\n"
        + "".join(f"{p}{i}.wav,{('real', 'fake')[i % 2]},{p}\n" for p in "tde" for i in range(4))
    },
    [f"{p}{i}.wav" for p in "tde" for i in range(4)],
    set(),
)
"""What the system learns from, and four trials more for sets that have one class alone."""


def preset(name):
    """Write presets/mine.yaml: a copy of smoke on the corpus `name` and on `HEARD`."""
    entries = [name] if name in LAYOUTS else []
    values = yaml.safe_load(with_corpora(ROOT / "presets/smoke.yaml", "mine", entries, True, ROOT))
    corpora = values["protocol"]["corpora"] or {}
    entry = yaml.safe_load((ROOT / "presets/corpora/own.yaml").read_text())
    heard = entry["protocol"]["own"]
    heard["tables"]["all"]["values"]["subset"] = {"column": "part", "pattern": ""}
    values["download"] = (values["download"] or {}) | {"heard": entry["download"]["own"]}
    if name in PARTLY:
        part = PARTLY[name].part
        local = {"path": f"lab/{name}", "addresses": [], "archives": {}, "disk_gb": 0}
        values["download"][name] = {"kind": name} | local
        n = len(PARTLY[name].trials)
        section = {"kind": name, "sets": {part: f"eval_{name}"}, "trials": {part: n}}
        corpora[name] = section | {"decode": True, "max_missing": 0, "max_orphans": 0}
    sets = sorted({s for _, s, *_ in ALL[name].trials})
    if name in LAYOUTS:
        corpora[name]["trials"] = {}
    heard["sets"] = {"t": "train", "d": "dev", "e": sets[0] if lacks_a_class(name) else "-"}
    values["protocol"]["corpora"] = corpora | {"heard": heard}
    values["protocol"]["shortcut_min_eer"] = 0.0
    values["grid"]["set"] = sets
    values["evaluate"]["bootstrap"] = {"resamples": 5, "level": 0.95, "unit": "trial"}
    values["finetune"]["lfcc"] |= {"components": 2, "iterations": 2, "max_frames": 200}
    path = Path("presets/mine.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    read = read_preset("mine")
    grid = read.grid.model_copy(
        update={"system": ["lfcc"], "classical": ["lfcc"], "foundation": [], "posttrained": []}
        | {"borrowing": [], "voting": [], "localising": [], "seed": [1]}
    )
    return Context("mine", read, grid, Files("mine", 1, "mine"), COMPUTE, 1)


def folder_of(name):
    return Path("data/lab") / name if name in PARTLY else Path("data") / name


def lacks_a_class(name):
    return len({label for _, _, label, _, _ in ALL[name].trials}) == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a system that learnt from `HEARD`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIXFRAME_DATA", raising=False)
        patch.chdir(folder)
        build(HEARD, Path("data/heard"))
        build(LAYOUTS["own"], Path("data/own"))
        context = preset("own")
        for stage in (download, protocol):
            stage.run(context)
        finetune.run(context, "lfcc")
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A copy of the system in an empty folder with the speech it learnt from."""
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "data" / "heard", "data/heard")
    for name in ("finetune", "scores"):
        shutil.copytree(trained / "results" / "mine" / name, Path("results/mine") / name)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_folder_goes_to_an_eer(name, here):
    layout = ALL[name]
    build(layout, folder_of(name))
    context = preset(name)
    download.run(context)
    protocol.run(context)
    for set_name in context.grid.set:
        score.run(context, "lfcc", set_name)
    evaluate.run(context, "lfcc", context.grid)

    figures = read_json(context.files.metrics("lfcc"))
    table = manifest.read(context.files.manifest)
    for set_name in context.grid.set:
        wanted = {u: label for u, s, label, _, _ in layout.trials if s == set_name}
        if lacks_a_class(name):
            wanted |= {f"e{i}": ("bonafide", "spoof")[i % 2] for i in range(4)}
        scored = scorefiles.read_scores(context.files.scores("lfcc", set_name))
        # Parts that recordings are cut into have a number behind the name.
        scored["trial"] = scored["trial"].str.removesuffix("-0000")
        assert set(scored["trial"]) == set(wanted)
        classes = [
            scored.loc[scored["trial"].map(wanted) == label, "score"].to_numpy()
            for label in ("bonafide", "spoof")
        ]
        assert figures[set_name]["eer"] == detection.eer(*classes)
        assert len(set(scored["score"])) == len(scored)
    if name in PARTLY:
        regions = table[table["set"] == f"eval_{name}"].set_index("utterance")["regions"]
        spoofed = {u for u, _, label, _, _ in layout.trials if label == "spoof"}
        assert {u for u, flat in regions.items() if len(flat)} == spoofed


FAULTS = ("missing", "unknown", "count", "again", "crlf")


def plant(name, fault, folder):
    """Put a fault into a corpus; return what the message says, and what changes in its section."""
    layout = PARTLY[name]
    labels = folder / layout.protocol
    lines = labels.read_bytes().decode().splitlines()
    place = rf"{labels.name}, line "
    if fault == "missing":
        (folder / layout.audio[0]).unlink()
        return rf"{place}1: .*no audio file", {}
    if fault == "unknown":
        path, old, new = layout.unknown
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new, 1))
        return rf"{Path(path).name}, line \d+: unknown label '", {}
    if fault == "count":
        expected = len(layout.trials) + 1
        says = rf"{place}{len(layout.trials)}: .*expected {expected}"
        return says, {"trials": {layout.part: expected}}
    if fault == "again":
        labels.write_text("\n".join([*lines, lines[0]]) + "\n")
        return rf"{place}{len(lines) + 1}: .*line 1 already", {}
    labels.write_bytes("\r\n".join([*lines, ""]).encode())
    return rf"{place}1: has a carriage return", {}


@pytest.mark.parametrize(
    ("name", "fault"),
    [(n, f) for n in sorted(PARTLY) for f in FAULTS if f != "unknown" or PARTLY[n].unknown],
)
def test_a_planted_fault_is_named_with_file_and_line(name, fault, here):
    folder = build(PARTLY[name], folder_of(name))
    says, changes = plant(name, fault, folder)
    context = preset(name)
    corpora = dict(context.preset.protocol.corpora)
    corpora[name] = corpora[name].model_copy(update=changes)
    section = context.preset.protocol.model_copy(update={"corpora": corpora})
    changed = context.preset.model_copy(update={"protocol": section})
    context = Context("mine", changed, context.grid, context.files, COMPUTE, 1)
    download.run(context)
    with pytest.raises(MixframeError, match=says):
        protocol.run(context)
    assert not context.files.manifest.exists()
