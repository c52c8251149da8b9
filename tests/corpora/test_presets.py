"""The presets, from the command line and without data."""

import shutil
from contextlib import chdir
from functools import cache
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from dvc.utils import serialize

from mixframe.corpora import PUBLISHED
from mixframe.experiment.code import fingerprint
from mixframe.experiment.dag import CODE
from mixframe.experiment.params import read_preset
from tests.pipeline.conftest import ROOT, clone, ran, run

NAMES = sorted(p.stem for p in (ROOT / "presets").glob("*.yaml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = clone(tmp_path_factory.mktemp("clone"), speech=Path("nowhere"))
    shutil.rmtree(folder / "results")
    return folder


def listed(folder):
    """Return what `dvc repro --dry` would run; DVC reads the preset once, not once a cell."""
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setitem(serialize.LOADERS, ".yaml", cache(serialize.load_yaml))
        with Repo() as repo:
            return {stage.addressing for stage in repo.reproduce(dry=True)}


@pytest.mark.parametrize("name", NAMES)
def test_the_pipeline_is_listed_without_touching_data(folder, name):
    run(folder, "mixframe", "use", name)
    cells = listed(folder)
    choice = yaml.safe_load((folder / "params.yaml").read_text())
    grid, base, trained = choice["grid"], choice["base"], choice["trained"]
    wanted = {f"score@{trained}-{system}-1-{s}" for system in grid["system"] for s in grid["set"]}
    robust = choice["robust"]
    wanted |= {f"score_robust@{name}-{a}-1-{s}" for a in robust["system"] for s in robust["set"]}
    assert wanted | {f"download@{base}", f"summary@{trained}", f"report@{name}"} <= cells
    # There are the fingerprints of the code, and empty folders.
    made = [path for path in (folder / "results" / name).rglob("*") if path.is_file()]
    assert {path.relative_to(folder / "results" / name).parts[0] for path in made} <= set(CODE)
    assert not (folder / "data").exists()


def test_dvc_lists_the_same_by_its_command(folder):
    run(folder, "mixframe", "use", "demo")
    assert ran(run(folder, "dvc", "repro", "--dry")) == listed(folder)


def test_the_modules_that_read_the_corpora_of_a_preset_are_its_code(folder):
    for name in NAMES:
        preset = read_preset(name)
        kinds = {section.kind for section in preset.protocol.corpora.values()} - {"demo", "arena"}
        for stage, section in (("download", preset.download), ("protocol", preset.protocol)):
            modules = fingerprint(stage, [section])
            for kind in PUBLISHED:
                assert (f"mixframe.corpora.{kind}" in modules) == (kind in kinds), (name, stage)
