"""The command line around the stages: switching presets, timings, errors without a traceback."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from dvc.repo import Repo

from mixframe.base.files import write_json
from mixframe.cli import main
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import read_preset

ROOT = Path(__file__).parents[1]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_use_switches_preset_and_grid_and_back_without_a_trace(repository):
    before = (repository / "params.yaml").read_text()
    # The second one has lists without a system.
    for name in ("smoke", "asvspoof5_mfpt", "robustness"):
        assert CliRunner().invoke(main, ["use", name]).exit_code == 0
        changed = yaml.safe_load((repository / "params.yaml").read_text())
        preset = read_preset(name)
        heard = preset.robustness
        assert changed == {
            "preset": name,
            "base": preset.base,
            "trained": {"robustness": "demo"}.get(name, name),
            "grid": preset.grid.model_dump(),
            "robust": {
                "system": heard.systems if heard else [],
                "set": heard.sets if heard else [],
            },
        }
    assert CliRunner().invoke(main, ["use", "demo"]).exit_code == 0
    assert (repository / "params.yaml").read_text() == before
    wrong = CliRunner().invoke(main, ["use", "nothing"])
    assert wrong.exit_code == 1
    assert "preset = 'nothing': expected one of " in wrong.stderr
    assert "demo, robustness, smoke" in wrong.stderr
    assert (repository / "params.yaml").read_text() == before


def test_timings_are_printed(repository):
    assert "no such file" in CliRunner().invoke(main, ["timings"]).stderr
    write_json(Layout("demo").timings, {"download": 1.5, "score@a-b": 2.0})
    assert "3.5 s  together" in CliRunner().invoke(main, ["timings"]).output


def test_evaluate_says_which_options_go_together():
    for options in ([], ["scores.tsv"], ["--keys", "keys.txt"]):
        result = CliRunner().invoke(main, ["evaluate", *options])
        assert result.exit_code == 2
        assert "give SCORES --keys KEYS, or --system NAME" in result.output


def test_use_takes_over_the_grid_of_a_preset_and_says_what_goes(repository):
    choice, preset = repository / "params.yaml", repository / "presets/demo.yaml"
    choice.write_text(re.sub(r"seed: .*", "seed: [1, 2, 3]", choice.read_text()))
    result = CliRunner().invoke(main, ["use", "demo"])
    assert "grid.seed = [1, 2, 3] goes; presets/demo.yaml has [1]" in result.stderr
    assert yaml.safe_load(choice.read_text())["grid"]["seed"] == [1]
    preset.write_text(re.sub(r"  seed:\n  - 1\n", "  seed:\n  - 1\n  - 2\n", preset.read_text()))
    assert CliRunner().invoke(main, ["use"]).exit_code == 0
    assert yaml.safe_load(choice.read_text())["grid"]["seed"] == [1, 2]


def test_a_folder_that_is_no_project_is_answered_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["use", "demo"], ["show"], ["params"], ["timings"], ["download"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1
        assert "is no mixframe project: there is no params.yaml" in result.stderr
        assert "`mixframe init` makes one" in result.stderr


def test_dag_prints_every_stage_once(repository):
    lines = CliRunner().invoke(main, ["dag"]).output.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["download", "protocol"]
    counts = {line.split()[0]: int(line.split()[1]) for line in lines[:-1]}
    grid = yaml.safe_load((repository / "params.yaml").read_text())["grid"]
    assert counts["score"] == len(grid["system"]) * len(grid["seed"]) * len(grid["set"])
    assert lines[-1] == f"{sum(counts.values())} cells"
    assert any(re.fullmatch(r"report +1  after summary", line) for line in lines)


def test_help_starts_without_the_libraries_of_training():
    code = (
        "import sys; from click.testing import CliRunner; from mixframe.cli import main\n"
        "assert CliRunner().invoke(main, ['evaluate', '--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
