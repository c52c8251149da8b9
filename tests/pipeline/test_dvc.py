"""The whole pipeline at smoke size, as a user runs it: under DVC, killed, changed, restored."""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from tests.pipeline.conftest import (
    ABLATION,
    BIN,
    change_injector,
    clone,
    ran,
    results,
    run,
    warm_environment,
)

pytestmark = pytest.mark.slow


def commit(folder):
    run(folder, "git", "add", "-A")
    run(
        folder,
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@localhost",
        "commit",
        "-qm",
        "x",
        "--allow-empty",
    )


def test_repro_leaves_every_output_and_nothing_to_do(finished):
    assert "Data and pipelines are up to date" in run(finished, "dvc", "status")
    assert "up to date" in run(finished, "dvc", "repro").splitlines()[-1]
    stages = set(re.findall(r"^(\S+@smoke\S*)", run(finished, "dvc", "stage", "list"), re.M))
    assert ran((finished / "repro.log").read_text()) == stages
    summary = json.loads((finished / "results/smoke/summary/summary.json").read_text())
    grid = yaml.safe_load((finished / "params.yaml").read_text())["grid"]
    assert list(summary["systems"]) == grid["system"]
    for entry in summary["systems"].values():
        for name in grid["set"]:
            figures = entry["sets"][name]
            assert 0 <= figures["eer_low"] <= figures["eer_high"] <= 1
    shown = run(finished, "mixframe", "show")
    assert all(system in shown for system in grid["system"])
    assert "report.html" in shown


def test_every_trial_has_one_score_and_scoring_twice_changes_nothing(finished):
    table = pd.read_parquet(finished / "results/smoke/corpus/manifest.parquet")
    scores = results(finished, "scores/*/*/*.tsv")
    grid = yaml.safe_load((finished / "params.yaml").read_text())["grid"]
    assert len(scores) == len(grid["system"]) * len([*grid["set"], "dev"])
    for name in scores:
        rows = pd.read_csv(finished / "results/smoke" / name, sep="\t")
        expected = table.loc[table["set"] == Path(name).stem, "utterance"]
        assert list(rows.columns) == ["filename", "cm-score"]
        assert rows["filename"].tolist() == expected.tolist()
        assert np.isfinite(rows["cm-score"]).all()
    run(finished, "mixframe", "score", "--system", "mfpt", "--set", "eval_partial")
    assert results(finished, "scores/*/*/*.tsv") == scores


def test_outputs_come_back_from_the_cache(finished):
    before = results(finished, "**/*.*")
    shutil.rmtree(finished / "results")
    run(finished, "dvc", "checkout")
    assert results(finished, "**/*.*") == before
    assert ran(run(finished, "dvc", "repro")) == set()


def test_a_clone_that_pulls_has_nothing_to_run_and_both_sides_of_every_comparison(
    finished, tmp_path
):
    run(finished, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(finished)
    run(finished, "dvc", "push")
    run(finished, "git", "clone", "-q", str(finished), str(tmp_path / "second"))
    second = tmp_path / "second"
    run(second, "dvc", "pull")
    assert "up to date" in run(second, "dvc", "status")
    assert ran(run(second, "dvc", "repro")) == set()
    assert results(second, "**/*.*") == results(finished, "**/*.*")
    # Without data/ an edit behind the corpus runs as well.
    preset = second / "presets/smoke.yaml"
    preset.write_text(preset.read_text().replace("segment_iou: 0.5", "segment_iou: 0.9"))
    assert "evaluate_frames@smoke-mfpt" in ran(run(second, "dvc", "repro", "summary"))
    assert re.search(r"evaluate\.segment_iou\s+0\.5\s+0\.9", run(second, "dvc", "params", "diff"))
    commit(second)
    for kind in ("metrics", "plots"):
        shown = run(second, "dvc", kind, "diff", "HEAD~1", "HEAD", "--json")
        assert not json.loads(shown).get("errors"), kind


def test_an_ablation_runs_what_it_touches_shows_both_values_and_comes_back_from_the_cache(finished):
    commit(finished)
    before = results(finished, "**/*.*")
    change_injector(finished)
    assert ran(run(finished, "dvc", "repro")) == ABLATION
    assert re.search(
        r"splice\.mfpt\.injector\s+spoof\s+any", run(finished, "dvc", "params", "diff")
    )
    diff = run(finished, "dvc", "metrics", "diff")
    assert re.search(r"metrics/mfpt\.json\s+eval_partial\.", diff)
    assert "metrics/lora.json" not in diff
    change_injector(finished, "any", "spoof")
    # The fingerprints are looked at each time; all else is taken from the cache.
    assert ran(run(finished, "dvc", "repro")) == {"code@smoke", "code_base@smoke"}
    assert results(finished, "**/*.*") == before


def test_an_experiment_changes_the_one_leaf_it_names_also_in_a_temporary_copy(finished):
    commit(finished)
    for where in ([], ["--temp"]):
        value = 0.7 if where else 0.8
        override = f"presets/smoke.yaml:evaluate.segment_iou={value}"
        log = run(finished, "dvc", "exp", "run", *where, "-S", override, "summary")
        assert "evaluate_frames@smoke-mfpt" in ran(log)
        assert not [name for name in ran(log) if name.startswith(("finetune", "protocol"))]
        run(finished, "git", "checkout", "presets", "dvc.lock")
    shown = run(finished, "dvc", "exp", "show", "--csv")
    assert ",0.7," in shown
    assert ",0.8," in shown
    # The corpus is made anew there, of the same downloads.
    if (finished / "data").is_dir():
        override = "presets/smoke.yaml:protocol.shortcut_min_eer=0.04"
        log = run(finished, "dvc", "exp", "run", "--temp", "-S", override, "summary")
        assert "protocol@smoke" in ran(log)
    run(finished, "dvc", "checkout")


def test_a_stage_finds_its_interpreter(finished, tmp_path):
    shutil.copytree(finished / "workflow", tmp_path / "workflow")
    command = ["/bin/sh", str(tmp_path / "workflow/mixframe"), "--version"]
    bare = {"PATH": "/usr/bin:/bin"}
    refused = subprocess.run(command, env=bare, capture_output=True, text=True)
    assert refused.returncode == 127
    assert "activate its environment" in refused.stderr
    (tmp_path / ".venv").symlink_to(BIN.parent)
    assert subprocess.run(command, env=bare, capture_output=True).returncode == 0


KILLED = [
    ("pretrain", []),
    ("posttrain", ["--system", "mfpt"]),
    ("finetune", ["--system", "mfpt"]),
    ("score", ["--system", "mfpt", "--set", "eval_partial"]),
]


def test_killed_stages_end_with_the_same_bytes_whatever_the_threads(finished, tmp_path):
    folder = clone(tmp_path, finished / "data" / "demo")
    shutil.copytree(finished / "results", folder / "results", dirs_exist_ok=True)
    wanted = {
        "pretrain": ("pretrain/*", "curves/pretrain.csv"),
        "posttrain": ("posttrain/mfpt/1/*", "curves/posttrain-mfpt-1.csv"),
        "finetune": ("finetune/mfpt/1/*", "curves/finetune-mfpt-1.csv", "scores/mfpt/1/dev.tsv"),
        "score": ("scores/mfpt/1/eval_partial.tsv",),
    }
    for stage, options in KILLED:
        expected = results(folder, *wanted[stage])
        assert expected
        for name in expected:
            (folder / "results/smoke" / name).unlink()
        state = folder / ".mixframe" / "smoke"
        command = ["mixframe", stage, *options, "--threads", "1", "--workers", "1"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=folder, env=warm_environment(), **pipes)
        deadline = time.monotonic() + 120
        # A training stage dies after its first checkpoint, scoring as soon as it holds its lock.
        signs = f"{stage}-*.pt" if stage != "score" else "score-*.lock"
        while not list(state.glob(signs)):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not results(folder, *wanted[stage]), f"{stage} left outputs though it was killed"
        log = run(folder, "mixframe", stage, *options, "--threads", "2", "--workers", "2")
        if stage != "score":
            assert "going on from step" in log
            assert not list(state.glob(f"{stage}-*.pt"))
        assert results(folder, *wanted[stage]) == expected, stage


def test_a_second_process_on_the_same_stage_is_refused(finished):
    from mixframe.base.files import stage_lock

    with stage_lock(finished / ".mixframe/smoke/finetune-lora-1.lock", "test"):
        log = run(finished, "mixframe", "finetune", "--system", "lora", ok=False)
    assert "finetune smoke lora-1: another process is running this stage" in log


def fails(folder, *command):
    done = subprocess.run(
        ["mixframe", *command],
        cwd=folder,
        env=warm_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def spoiled(finished, tmp_path):
    """A copy of the finished clone's tables, to be spoiled by a test."""
    folder = clone(tmp_path, finished / "data" / "demo")
    shutil.copytree(finished / "results", folder / "results", dirs_exist_ok=True)
    return folder


def edit_manifest(folder, change):
    path = folder / "results/smoke/corpus/manifest.parquet"
    table = change(pd.read_parquet(path))
    table.to_parquet(path, index=False)


def test_bad_audio_is_named_and_leaves_nothing(spoiled):
    bad = spoiled / "nan.wav"
    soundfile.write(bad, np.full(16_000, np.nan, dtype=np.float32), 16_000, subtype="FLOAT")

    def spoil(table):
        row = table.index[table["set"] == "eval_partial"][3]
        table.loc[row, ["path", "offset", "n_bytes"]] = [str(bad), 0, 0]
        table.loc[row, "samples"] = 16_000
        return table

    edit_manifest(spoiled, spoil)
    path = spoiled / "results/smoke/scores/lora/1/eval_partial.tsv"
    before = path.read_bytes()
    message = fails(spoiled, "score", "--system", "lora", "--set", "eval_partial")
    assert "nan.wav" in message
    assert "not finite" in message
    assert path.read_bytes() == before
    soundfile.write(bad, np.zeros(0, dtype=np.float32), 16_000, subtype="FLOAT")
    assert "without samples" in fails(spoiled, "score", "--system", "lora", "--set", "eval_partial")


def test_missing_inputs_and_empty_sets_are_named(spoiled):
    (spoiled / "results/smoke/scores/lfcc/1/eval_partial.tsv").unlink()
    assert "eval_partial.tsv: no such file" in fails(spoiled, "evaluate", "--system", "lfcc")
    edit_manifest(spoiled, lambda t: t[(t["set"] != "eval_partial") | (t["label"] == "spoof")])
    message = fails(spoiled, "score", "--system", "lora", "--set", "eval_partial")
    assert "set 'eval_partial' has no bonafide utterances" in message
    (spoiled / "results/smoke/pretrain/model.safetensors").unlink()
    message = fails(spoiled, "finetune", "--system", "lora")
    assert "model.safetensors: no such file; the stage 'pretrain' makes it" in message
    assert "grid.system has no 'nope'; expected one of lfcc, lora" in fails(
        spoiled, "finetune", "--system", "nope"
    )


def test_downloads_that_are_gone_or_changed_are_named(spoiled):
    path = spoiled / "data/demo/fr_CA_f_June.tar"
    path.write_bytes(path.read_bytes()[:-512])
    (spoiled / "data/demo/it_IT_m_Carlo.tar").unlink()
    before = results(spoiled, "corpus/*", "checks/*")
    message = fails(spoiled, "protocol")
    assert "run `mixframe download --preset smoke`" in message
    assert "it_IT_m_Carlo.tar: no such file" in message
    assert "fr_CA_f_June.tar: 12,912,128 bytes, expected 12,912,640" in message
    assert results(spoiled, "corpus/*", "checks/*") == before


def test_weights_that_changed_since_training_are_refused(spoiled):
    path = spoiled / "results/smoke/finetune/lora/1/head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    message = fails(spoiled, "score", "--system", "lora", "--set", "eval_partial")
    assert "head.safetensors: sha256" in message
    assert "run `dvc repro`" in message


def test_scores_that_do_not_fit_the_trials_are_refused(spoiled):
    path = spoiled / "results/smoke/scores/lora/1/eval_partial.tsv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    assert lines[-1].split("\t")[0] in fails(spoiled, "evaluate", "--system", "lora")
    path.write_text("\n".join([*lines, lines[5]]) + "\n")
    assert lines[5].split("\t")[0] in fails(spoiled, "evaluate", "--system", "lora")


def test_a_corpus_without_its_source_says_what_to_do(tmp_path):
    folder = clone(tmp_path)
    shutil.rmtree(folder / "data", ignore_errors=True)
    preset = folder / "presets" / "smoke.yaml"
    values = yaml.safe_load(preset.read_text())
    values["download"]["demo"] |= {"sources": ["folder"], "folder": str(folder / "nowhere")}
    preset.write_text(yaml.safe_dump(values))
    message = fails(folder, "download")
    assert "nowhere" in message
    assert not (folder / "results/smoke/download/download.json").exists()
