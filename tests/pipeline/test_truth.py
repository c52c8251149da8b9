"""The DAG says what stages run and read: held against a run that was recorded."""

import json
import re
import shutil
from pathlib import Path

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from mixframe.experiment import code, dag
from tests.pipeline.conftest import ran, replace, run

pytestmark = pytest.mark.slow

UNTRACKED = ("compute.", "base", "trained", "params.yaml:base", "params.yaml:trained")
UNTRACKED += ("params.yaml:preset",)
"""Where and how wide to compute changes no result; names of presets stand in every path."""


@pytest.fixture(scope="module")
def pipeline(repro):
    """DVC's stages by name."""
    with Repo(str(repro)) as repo:
        yield {stage.addressing.rpartition(":")[2]: stage for stage in repo.index.stages}


def seen(recorded, stage, kind):
    """Return what the command of a cell was seen to do."""
    path = recorded / stage.cmd.partition("mixframe ")[2].replace("/", "_")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")}


def test_every_function_that_ran_is_in_the_fingerprint_of_its_cell(pipeline, recorded, repro):
    for name, stage in pipeline.items():
        if code.stage_of(stage.cmd) in dag.CODE:
            continue
        [path] = [dep.def_path for dep in stage.deps if dag.is_code(dep.def_path)]
        hashed = json.loads((repro / path).read_text())
        modules = seen(recorded, stage, "module")
        assert modules, name
        assert modules - set(hashed) == set(), name
        # What it was not seen to run is no other stage's, and mostly not there.
        others = {m for m in hashed if m.startswith("mixframe.stages.")} - modules
        shared = {f"mixframe.stages.{part}" for part in ("card", "context", "systems")}
        assert others <= shared, name


def test_every_parameter_that_was_read_is_declared_and_every_declared_one_was_read(
    pipeline, recorded
):
    read: dict[str, set[str]] = {}
    declared: dict[str, set[str]] = {}
    for name, stage in pipeline.items():
        kind = name.split("@")[0]
        keys = set()
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                place = "params.yaml:" if dep.def_path == "params.yaml" else ""
                keys |= {f"{place}{key}" for key in dep.params}
        if kind in (*dag.CODE, "report"):  # They depend on the file of the preset as a whole.
            continue
        found = {k for k in seen(recorded, stage, "param") if not k.startswith(UNTRACKED)}
        undeclared = {k for k in found if not any(k == d or k.startswith(f"{d}.") for d in keys)}
        assert undeclared == set(), name
        read.setdefault(kind, set()).update(found)
        declared.setdefault(kind, set()).update(keys)
    for kind, keys in declared.items():
        unread = {d for d in keys if not any(k == d or k.startswith(f"{d}.") for k in read[kind])}
        assert unread == set(), kind


def test_every_result_that_was_read_is_declared(pipeline, recorded, repro):
    for name, stage in pipeline.items():
        if code.stage_of(stage.cmd) in dag.CODE:
            continue
        declared = tuple(dep.def_path for dep in stage.deps)
        own = tuple(out.def_path for out in stage.outs)
        # The weights under a trained system are pinned by sha256 in its card, which is declared.
        pinned = []
        for path in seen(recorded, stage, "file"):
            if path.endswith("card.json") and (repro / path).is_file():
                pinned.append(json.loads((repro / path).read_text())["encoder"]["folder"] or "-")
        for path in seen(recorded, stage, "file"):
            partial = any(part.startswith(".") for part in Path(path).parts)
            allowed = path.startswith((*declared, *own, *pinned))
            assert partial or allowed, f"{name} reads {path}"


def test_a_doubled_score_runs_every_cell_behind_it_and_a_comment_none(finished):
    source = "src/mixframe/models/detector.py"
    text = (finished / source).read_text()
    replace(
        finished / source,
        "logits[:, BONAFIDE] - logits[:, SPOOF]",
        "2 * (logits[:, BONAFIDE] - logits[:, SPOOF])",
    )
    before = (finished / "results/smoke/scores/lora/1/eval_partial.tsv").read_text()
    log = ran(run(finished, "dvc", "repro"))
    neural = {"lora", "frames", "mfpt", "mfpt_fgfm"}
    for stage in ("score", "finetune"):
        of_stage = {name for name in log if name.startswith(stage)}
        assert {re.split("[@-]", name)[2] for name in of_stage} == neural, stage
    assert {"evaluate@smoke-lora", "summary@smoke", "report@smoke"} <= log
    assert not {"protocol@smoke", "pretrain@smoke", "posttrain@smoke-mfpt-1"} & log
    # But for its attack, which may be carried over from another system.
    assert {name for name in log if "lfcc" in name} == {"attack@smoke-lfcc-1-eval_partial"}
    after = (finished / "results/smoke/scores/lora/1/eval_partial.tsv").read_text()
    assert after != before
    # Back again: everything comes from the run cache, but for the fingerprints themselves.
    (finished / source).write_text(f"{text}\n# The same as before.\n")
    assert ran(run(finished, "dvc", "repro")) == {"code@smoke", "code_base@smoke"}
    assert (finished / "results/smoke/scores/lora/1/eval_partial.tsv").read_text() == before


def test_leftovers_of_an_earlier_grid_make_nothing_dirty(finished):
    choice = finished / "params.yaml"
    text = choice.read_text()
    folder = finished / "results/smoke/scores/lora"
    shutil.copytree(folder / "1", folder / "2")
    choice.write_text(text.replace("seed: [1]", "seed: [1] # one"))
    log = run(finished, "dvc", "repro")
    assert ran(log) == {"code@smoke"}
    assert "scores/lora/2/eval_partial.tsv: removed" in log
    assert not list(folder.glob("2/*"))
    (folder / "1" / "notes.bak").write_text("an editor's copy")
    assert "up to date" in run(finished, "dvc", "status")
