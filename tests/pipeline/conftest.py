"""Clones of the working tree in which the pipeline runs at smoke size."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from mixframe import cli
from mixframe.experiment import warm

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
# Some two hundred processes would each compile the package anew.
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)

ABLATION = {
    "code@smoke",
    "code_base@smoke",
    "splice@smoke-mfpt-1",
    "posttrain@smoke-mfpt-1",
    "finetune_posttrained@smoke-mfpt-1",
    "finetune_borrowing@smoke-mfpt_fgfm-1",
    "vote@smoke-mfpt_fgfm-1",
    "score@smoke-mfpt-1-eval_partial",
    "score@smoke-mfpt_fgfm-1-eval_partial",
    "evaluate@smoke-mfpt",
    "evaluate@smoke-mfpt_fgfm",
    "evaluate_frames@smoke-mfpt",
    "evaluate_regions@smoke",
    "embed@smoke-mfpt",
    # An attack may be carried over from any system.
    "attack@smoke-lfcc-1-eval_partial",
    "attack@smoke-lora-1-eval_partial",
    "evaluate_robust@smoke-eval_partial",
    "summary@smoke",
    "report@smoke",
}
"""The cells that another injector policy of mfpt touches."""


ENGINES = ("dvc.cli.parser", "dvc.repo", "networkx", "snakemake.cli")
"""What the engines import."""


@cache
def warm_environment(server=0):
    """Return the variables with which commands run warm, by a server's number."""
    commands, packages = ("dvc", "mixframe", "snakemake"), (*warm.PACKAGES, *ENGINES)
    started = warm.started({**os.environ, **cli.ENVIRONMENT}, commands, packages)
    folder = started.__enter__()
    atexit.register(started.__exit__, None, None, None)
    return {**ENVIRONMENT, "PATH": f"{folder}:{ENVIRONMENT['PATH']}"}


def run(folder, *command, ok=True, variables=None, environment=None):
    """Run a command in a folder and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=(environment or warm_environment()) | (variables or {}),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    if ok:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    else:
        assert done.returncode != 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def clone(folder, speech=ROOT / "data" / "demo"):
    """Copy the working tree, without what git ignores, and set the preset to smoke.

    The speech is pinned by sha256, so that of an earlier download, where there is one, serves.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    # The lock of the demo would only put smoke's behind it.
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q")
    run(folder, "mixframe", "use", "smoke")
    if speech.is_dir():
        shutil.copytree(speech, folder / "data" / "demo")
    return folder


def results(folder, *patterns):
    """Return the bytes of result files by path."""
    root = folder / "results" / "smoke"
    return {str(p.relative_to(root)): p.read_bytes() for g in patterns for p in root.glob(g)}


def ran(log):
    """Return the stages that `dvc repro` says it ran."""
    return set(re.findall(r"Running stage '([^']+)'", log))


def replace(path, old, new):
    """Edit the one place of a file that has a text."""
    text = path.read_text()
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new))


def change_injector(folder, old="spoof", new="any"):
    """Change one leaf parameter: the ablation whose cells are ABLATION."""
    preset = folder / "presets" / "smoke.yaml"
    text = preset.read_text()
    changed = re.sub(rf"(?m)^(  mfpt:\n(?:    .*\n)*?    injector: ){old}$", rf"\1{new}", text)
    assert changed != text
    preset.write_text(changed)


@pytest.fixture(scope="session")
def repro(tmp_path_factory, worker_id):
    """A clone in which `dvc repro` has run; tests copy it and leave it as it is."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "repro"
    with FileLock(f"{folder}.lock"):
        if not (folder / "repro.log").is_file():
            folder.mkdir()
            clone(folder)
            start = time.monotonic()
            # Recorded all along: tests/pipeline/test_truth.py looks at what the stages did.
            seen = Path(f"{folder}.recorded")
            seen.mkdir()
            recorder = {"MIXFRAME_RECORD": str(seen), "PYTHONPATH": str(ROOT / "tests/recorder")}
            log = run(folder, "dvc", "repro", variables=recorder)
            (folder / "repro.seconds").write_text(str(time.monotonic() - start))
            (folder / "repro.log").write_text(log)
    return folder


@pytest.fixture(scope="session")
def recorded(repro):
    """What its stages were seen to run and to read, a file a command: tests/recorder."""
    return Path(f"{repro}.recorded")


@pytest.fixture(scope="module")
def finished(repro, tmp_path_factory):
    """A copy of it for the tests of a module."""
    folder = tmp_path_factory.mktemp("finished") / "clone"
    shutil.copytree(repro, folder)
    return folder
