"""The corpus of docs/corpora.md, from its text: a CSV and four files, to an EER."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.utils.serialize import dumps_yaml, loads_yaml

from mixframe.cli import main
from mixframe.experiment.params import read_preset
from tests.corpora.layouts import sound

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks():
    """The kind and the text of each block of code in the section."""
    text = (ROOT / "docs" / "corpora.md").read_text(encoding="utf-8")
    section = text.split("### A corpus of your own\n")[1].split("\n### ")[0]
    return re.findall(r"(?ms)^```(\w+)\n(.*?)^```", section)


def shell(folder, text):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", "-euc", text]
    environment = os.environ | {"PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_csv_and_four_files_become_an_eer(project):
    printed = ""
    for kind, text in blocks():
        if kind == "csv":
            for i, name in enumerate("abcd"):
                sound(project / "data" / "own" / f"{name}.wav", i)
            (project / "data" / "own" / "labels.csv").write_text(text)
        elif kind == "yaml":
            preset = project / "presets" / "mine.yaml"
            for line in text.splitlines():
                key = line.split(":")[0]
                changed, n = re.subn(rf"(?m)^( +){key}: .*$", rf"\1{line}", preset.read_text())
                assert n == 1, key
                preset.write_text(changed)
        elif kind == "tsv":
            (project / "scores.tsv").write_text(text)
        else:
            done = shell(project, text)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
    assert "eval_own: 4 trials (2 bona fide, 2 spoof)" in printed
    assert re.search(r"EER, % +50\.00 ", printed), printed


def test_entries_are_added_to_the_corpora_of_a_preset(project):
    command = ["corpus", "new", "more", "--from", "smoke", "--corpus", "wavefake"]
    result = CliRunner().invoke(main, [*command, "--corpus", "decro"])
    assert result.exit_code == 0, result.output
    text = (project / "presets" / "more.yaml").read_text()
    assert dumps_yaml(loads_yaml(text, typ="rt")) == text
    made, base = read_preset("more"), read_preset("smoke")
    assert list(made.protocol.corpora) == ["wavefake", "decro", "demo"]
    assert list(made.download) == ["wavefake", "decro", "demo"]
    assert made.protocol.corpora["demo"] == base.protocol.corpora["demo"]
    new = ["eval_wavefake", "eval_decro_ch", "eval_decro_en"]
    assert made.grid.set == [*base.grid.set, *new]
    assert (
        made.model_copy(
            update={
                key: getattr(base, key) for key in ("title", "base", "grid", "download", "protocol")
            }
        )
        == base
    )
    assert "already there" in CliRunner().invoke(main, [*command]).stderr


@pytest.mark.parametrize(
    ("name", "base", "entry", "expected"),
    [
        ("x", "smoke", "nothing", "corpus = 'nothing': expected one of add_2023, "),
        ("x", "asvspoof2019la_df", "own", "its corpora stand in asvspoof2019la_conformer"),
        ("a b", "smoke", "own", "'a b': a preset's name has letters"),
    ],
)
def test_what_cannot_be_added_is_named_and_nothing_is_written(project, name, base, entry, expected):
    command = ["corpus", "new", name, "--from", base, "--corpus", entry]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert expected in result.stderr
    assert not (project / "presets" / f"{name}.yaml").exists()


def test_check_of_a_corpus_that_is_not_there_says_where_to_fetch_it(project):
    command = ["corpus", "new", "mine", "--from", "smoke", "--corpus", "wavefake", "--alone"]
    assert CliRunner().invoke(main, command).exit_code == 0
    result = CliRunner().invoke(main, ["corpus", "check", "mine"])
    assert result.exit_code == 1
    assert "data/wavefake: no such folder; WaveFake: fetch it from https://zenodo.org" in (
        result.stderr
    )
