"""The presets of the published corpora, from the command line and without data."""

from pathlib import Path

import pytest
import yaml

from mixframe.corpora.known import KNOWN
from tests.pipeline.conftest import ROOT, clone, run

NAMES = sorted(p.stem for p in (ROOT / "presets").glob("asvspoof*.yaml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("clone"), speech=Path("nowhere"))


@pytest.mark.parametrize("name", NAMES)
def test_the_pipeline_is_listed_without_touching_data(folder, name):
    run(folder, "mixframe", "use", name)
    # Without --force DVC looks for outputs of stages that it only pretends to run.
    listed = run(folder, "dvc", "repro", "--dry", "--force")
    grid = yaml.safe_load((folder / "params.yaml").read_text())["grid"]
    assert f"Running stage 'report@{name}'" in listed
    for system in grid["system"]:
        for set_name in grid["set"]:
            assert f"Running stage 'score@{name}-{system}-1-{set_name}'" in listed
    assert not (folder / "results" / name).exists()
    assert not (folder / "data").exists()


def test_every_module_that_reads_a_corpus_is_a_dependency(folder):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in ("download", "protocol"):
        for kind in (*KNOWN, "known", "archives", "arena"):
            assert f"src/mixframe/corpora/{kind}.py" in stages[stage]["deps"]
