"""The presets, from the command line and without data."""

import shutil
from pathlib import Path

import pytest
import yaml

from mixframe.corpora import PUBLISHED
from tests.pipeline.conftest import ROOT, clone, ran, run

NAMES = sorted(p.stem for p in (ROOT / "presets").glob("*.yaml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = clone(tmp_path_factory.mktemp("clone"), speech=Path("nowhere"))
    shutil.rmtree(folder / "results")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_pipeline_is_listed_without_touching_data(folder, name):
    run(folder, "mixframe", "use", name)
    listed = run(folder, "dvc", "repro", "--dry")
    grid = yaml.safe_load((folder / "params.yaml").read_text())["grid"]
    wanted = {f"score@{name}-{system}-1-{s}" for system in grid["system"] for s in grid["set"]}
    assert wanted | {f"download@{name}", f"summary@{name}", f"report@{name}"} <= ran(listed)
    assert not [path for path in (folder / "results").rglob("*") if path.is_file()]
    assert not (folder / "data").exists()


def test_every_module_that_reads_a_corpus_is_a_dependency(folder):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in ("download", "protocol"):
        for kind in (*PUBLISHED, "known", "archives", "arena"):
            assert f"src/mixframe/corpora/{kind}.py" in stages[stage]["deps"]
