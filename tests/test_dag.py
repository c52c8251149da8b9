"""What Snakemake is given is what DVC has."""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from mixframe.base.errors import MixframeError
from mixframe.experiment import dag
from tests.conftest import choice_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A repository with the project's dvc.yaml, the presets and the cells of smoke."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    preset = yaml.safe_load((tmp_path / "presets" / "smoke.yaml").read_text())
    choice = choice_of("smoke", preset)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(choice))
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(stages):
    return {cell.name: cell for stage in stages for cell in stage.cells.values()}


def edit(path, change):
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def test_every_stage_of_dvc_is_a_cell_with_the_same_files(pipeline):
    found = cells(dag.read_stages())
    with Repo() as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
    # Fingerprints of code are looked at when the Snakefile is read.
    assert stages.keys() - found.keys() == {"code@smoke", "code_base@smoke"}
    for name in found:
        stage = stages[name]
        assert found[name].command == stage.cmd
        assert found[name].outputs == [out.def_path for out in stage.outs]


def test_wildcards_lead_to_the_cell_that_writes_a_file(pipeline):
    for stage in dag.read_stages():
        for values, cell in stage.cells.items():
            named = dict(zip(stage.keys, values, strict=True))
            assert stage.cell(named) is cell
            assert sorted(p.format(**named) for p in stage.outputs) == sorted(cell.outputs)
            assert all(re.fullmatch(stage.wildcards[k], v) for k, v in named.items())


def test_a_folder_stands_for_what_other_cells_write_there(pipeline):
    found = cells(dag.read_stages())
    inputs = found["evaluate@smoke-mfpt"].inputs
    assert "results/smoke/scores/mfpt/1/eval_partial.tsv" in inputs
    assert "results/smoke/scores/mfpt/1/dev.tsv" in inputs
    assert not any("scores/mfpt_fgfm" in path for path in inputs)


def test_a_stage_added_to_dvc_yaml_is_there_without_another_edit(pipeline):
    def add(values):
        values["stages"]["count"] = {
            "cmd": "wc -l results/smoke/summary/table.md > lines.txt",
            "deps": ["results/smoke/summary/table.md"],
            "outs": ["lines.txt"],
        }

    edit(pipeline / "dvc.yaml", add)
    stage = {stage.name: stage for stage in dag.read_stages()}["count"]
    assert (stage.keys, stage.outputs) == ((), ["lines.txt"])
    assert stage.cell({}).inputs == ["results/smoke/summary/table.md"]


def test_a_leaf_changes_the_stamps_of_the_cells_that_read_it(pipeline):
    before = cells(dag.read_stages())

    def change(values):
        values["splice"]["mfpt"]["copies"] = 9

    edit(pipeline / "presets/smoke.yaml", change)
    after = cells(dag.read_stages())
    assert {n for n in before if before[n].stamp != after[n].stamp} == {"splice@smoke-mfpt-1"}


def test_the_more_cells_wait_for_a_stage_the_earlier_it_comes(pipeline):
    stages = dag.read_stages()
    by_name = cells(stages)

    def behind(name):
        made = set(by_name[name].outputs)
        direct = [other for other, cell in by_name.items() if made & set(cell.inputs)]
        return set(direct).union(*map(behind, direct))

    for stage in stages:
        assert stage.priority == max(len(behind(cell.name)) for cell in stage.cells.values())
    order = {stage.name: stage.priority for stage in stages}
    chain = ["protocol", "pretrain", "posttrain", "finetune_borrowing", "score", "summary"]
    assert sorted(chain, key=order.get, reverse=True) == chain


def test_an_output_that_wildcards_cannot_name_is_refused(pipeline):
    def change(values):
        values["stages"]["download"]["outs"] = ["results/${base}/download/download.json"]

    edit(pipeline / "dvc.yaml", change)
    with pytest.raises(MixframeError, match=r"stage download: an output uses something else"):
        dag.read_stages()


def test_a_mark_of_other_parameters_is_not_committed(pipeline):
    folder = pipeline / ".mixframe" / "ran"
    folder.mkdir(parents=True)
    (folder / "download@smoke").write_text("another stamp")
    assert dag.commit() == []
    assert list(folder.iterdir()) == []
    assert not (pipeline / "dvc.lock").exists()


def entry(name, command):
    return f"  {name}:\n    cmd: {command}\n    outs:\n    - path: results/{name}\n      md5: abc\n"


SMOKE = entry("protocol@smoke", "sh workflow/mixframe protocol --preset smoke")
DEMO = entry("protocol@demo", "sh workflow/mixframe protocol --preset demo")
OWN = entry("score@demo-b-mfpt-1", "sh workflow/mixframe score --preset demo-b --system mfpt")
FOREIGN = entry("count", "wc -l results/demo/summary/table.md")
HEAD = "schema: '2.0'\nstages:\n"


def test_the_lock_holds_the_cells_of_the_chosen_preset_and_of_its_base(pipeline):
    lock, kept = pipeline / "dvc.lock", pipeline / "locks"
    lock.write_text(HEAD + SMOKE + DEMO + FOREIGN + OWN)
    dag.choose_lock("smoke", "smoke", pipeline)
    assert lock.read_text() == HEAD + SMOKE + FOREIGN
    assert (kept / "demo.lock").read_text() == HEAD + DEMO
    assert (kept / "demo-b.lock").read_text() == HEAD + OWN
    dag.choose_lock("demo-b", "demo", pipeline)
    assert lock.read_text() == HEAD + FOREIGN + DEMO + OWN
    assert sorted(path.name for path in kept.glob("*.lock")) == ["smoke.lock"]
    dag.choose_lock("smoke", "smoke", pipeline)
    dag.choose_lock("demo", "demo", pipeline)
    assert (kept / "demo-b.lock").read_text() == HEAD + OWN


def test_a_preset_that_never_ran_leaves_no_lock(pipeline):
    lock = pipeline / "dvc.lock"
    lock.write_text(HEAD + DEMO)
    dag.choose_lock("smoke", "smoke", pipeline)
    assert not lock.exists()
    assert dag.read_stages()
    dag.choose_lock("demo", "demo", pipeline)
    assert lock.read_text() == HEAD + DEMO


@pytest.mark.parametrize("linked", [False, True])
def test_no_output_stays_older_than_its_inputs(tmp_path, linked):
    chain = [
        dag.Cell("first", "", ["raw"], ["one", "same"], ""),
        dag.Cell("second", "", ["one", "same"], ["two"], ""),
        dag.Cell("third", "", ["two"], ["three"], ""),
    ]
    for age, name in enumerate(["three", "two", "one", "same", "raw", "apart"]):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    if linked:
        (tmp_path / "same").unlink()
        (tmp_path / "same").hardlink_to(tmp_path / "three")
    dag.settle(chain, tmp_path)
    times = {path.name: path.stat().st_mtime for path in tmp_path.iterdir()}
    for cell in chain:
        assert min(times[p] for p in cell.outputs) >= max(times[p] for p in cell.inputs)
    assert times["apart"] == 1005
    dag.settle(chain, tmp_path)
    assert times == {path.name: path.stat().st_mtime for path in tmp_path.iterdir()}
