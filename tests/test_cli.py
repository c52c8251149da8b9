"""The command line around the stages: switching presets, timings, errors without a traceback."""

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
    for name in ("smoke", "asvspoof5_mfpt"):
        assert CliRunner().invoke(main, ["use", name]).exit_code == 0
        changed = yaml.safe_load((repository / "params.yaml").read_text())
        preset = yaml.safe_load((repository / "presets" / f"{name}.yaml").read_text())
        assert changed == {"preset": name, "grid": preset["grid"]}
    assert CliRunner().invoke(main, ["use", "demo"]).exit_code == 0
    assert (repository / "params.yaml").read_text() == before
    wrong = CliRunner().invoke(main, ["use", "nothing"])
    assert wrong.exit_code == 1
    assert "preset = 'nothing': expected one of " in wrong.stderr
    assert "demo, smoke" in wrong.stderr
    assert (repository / "params.yaml").read_text() == before


def test_timings_are_printed(repository):
    assert "no such file" in CliRunner().invoke(main, ["timings"]).stderr
    write_json(Layout("demo").timings, {"download": 1.5, "score@a-b": 2.0})
    assert "3.5 s  together" in CliRunner().invoke(main, ["timings"]).output


def test_evaluate_says_which_options_go_together(repository):
    for options in ([], ["--summary", "--system", "a"], ["--summary", "--frames"]):
        result = CliRunner().invoke(main, ["evaluate", *options])
        assert result.exit_code == 2
        assert "--system NAME --frames" in result.output


def test_help_starts_without_the_libraries_of_training():
    code = (
        "import sys; from click.testing import CliRunner; from mixframe.cli import main\n"
        "assert CliRunner().invoke(main, ['evaluate', '--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
