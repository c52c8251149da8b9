"""The same pipeline under Snakemake: the same bytes, nothing left to do, the same cells re-run."""

import re
import subprocess
import time

import pytest

from mixframe.base.files import stage_lock
from tests.pipeline.conftest import (
    ABLATION,
    BIN,
    ENVIRONMENT,
    change_injector,
    clone,
    ran,
    replace,
    results,
    run,
    warm_environment,
)

pytestmark = pytest.mark.slow
NOTHING = "Nothing to be done"
ALL = ("**/*.*",)


def planned(folder, *options):
    """Return the cells that Snakemake would run."""
    log = run(folder, "snakemake", "-n", "-p", *options)
    return set(re.findall(r"> .mixframe/ran/(\S+)", log))


def same(folder, reference):
    """Compare every result, and the lock."""
    found, expected = results(folder, *ALL), results(reference, *ALL)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    lock = "dvc.lock"
    assert (folder / lock).read_bytes() == (reference / lock).read_bytes()


def idle(folder):
    """Assert that neither engine has anything to do."""
    assert "Data and pipelines are up to date" in run(folder, "dvc", "status")
    assert NOTHING in run(folder, "snakemake", "-n")
    assert ran(run(folder, "dvc", "repro")) == set()


# Of session scope, so that it is not kept waiting for `repro`, which another worker makes.
@pytest.fixture(scope="session")
def snaked(tmp_path_factory):
    """A clone in which `snakemake --cores 2` has run, as far from the run of `repro` as can be."""
    folder = clone(tmp_path_factory.mktemp("snaked in a földer"))
    # Of another server, so that Python hashes strings otherwise; without a home or a language.
    environment = {**warm_environment(1), "LC_ALL": "C"}
    environment.pop("HOME", None)
    run(folder, "snakemake", "--cores", "2", environment=environment)
    return folder


def test_both_engines_write_the_same_bytes_and_leave_nothing_to_do(snaked, repro):
    same(snaked, repro)
    idle(snaked)


def test_a_changed_leaf_runs_the_same_cells_under_both_engines(snaked):
    change_injector(snaked)
    assert planned(snaked) == ABLATION - {"code@smoke", "code_base@smoke"}


def test_after_dvc_snakemake_knows_what_is_up_to_date(finished):
    # As after a checkout: an input is newer than what was made of it.
    (finished / "results/smoke/corpus/manifest.parquet").touch()
    idle(finished)
    # An edit after DVC has run: the cells that DVC would run.
    change_injector(finished)
    assert planned(finished) == ABLATION - {"code@smoke", "code_base@smoke"}
    change_injector(finished, "any", "spoof")
    idle(finished)


def test_snakemake_sees_what_dvc_ran_with_other_values(finished, repro):
    """Snakemake, an edit, `dvc repro`, the edit taken back, Snakemake."""
    run(finished, "snakemake", "--cores", "2")
    edit = (finished / "presets/smoke.yaml", "segment_iou: 0.5", "segment_iou: 0.9")
    replace(*edit)
    assert ran(run(finished, "dvc", "repro"))
    details = "results/smoke/details/frames-mfpt.json"
    assert (finished / details).read_bytes() != (repro / details).read_bytes()
    replace(edit[0], edit[2], edit[1])
    assert {"evaluate_frames@smoke-mfpt", "report@smoke"} <= planned(finished)
    run(finished, "snakemake", "--cores", "2")
    same(finished, repro)
    idle(finished)


def test_a_preset_of_ones_own_shares_its_base_and_has_cells_for_each_variant(finished):
    vary = ["--vary", "mfpt:splice.injector=spoof,any", "--seed", "0", "--seed", "1"]
    run(finished, "mixframe", "new", "mine", "--from", "smoke", *vary)
    run(finished, "mixframe", "use", "mine")
    listed = ran(run(finished, "dvc", "repro", "--dry"))
    assert listed - {"code@mine", "code_base@smoke"} == planned(finished)
    assert not [name for name in listed if name.startswith(("download", "protocol", "pretrain"))]
    variants = {f"posttrain@mine-mfpt{v}-{seed}" for v in ("", "-injector-any") for seed in (0, 1)}
    assert {name for name in listed if name.startswith("posttrain")} == variants
    assert {"evaluate@mine-mfpt-injector-any", "summary@mine"} <= listed
    run(finished, "mixframe", "use", "smoke")
    idle(finished)


def test_config_is_refused_and_a_stage_is_a_target(finished):
    log = run(finished, "snakemake", "-n", "--config", "preset=demo", ok=False)
    assert "`mixframe use NAME` chooses the preset" in log
    assert NOTHING in run(finished, "snakemake", "-n", "report")


def test_a_killed_snakemake_goes_on_and_ends_with_the_same_bytes(finished, repro):
    for path in (finished / "results/smoke/posttrain/mfpt/1").iterdir():
        path.unlink()
    command = [str(BIN / "snakemake"), "--cores", "2", "--until", "posttrain"]
    process = subprocess.Popen(
        command, cwd=finished, env=ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((finished / ".mixframe/smoke").glob("posttrain-*.pt")):
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=True)
    process.communicate()
    assert not results(finished, "posttrain/mfpt/1/*")
    assert "going on from step" in run(finished, *command)
    same(finished, repro)
    assert "Data and pipelines are up to date" in run(finished, "dvc", "status")


def test_a_failed_stage_leaves_nothing_and_other_branches_finish(finished):
    gone = [finished / f"results/smoke/det/{system}.csv" for system in ("lora", "mfpt")]
    for path in gone:
        path.unlink()
    with stage_lock(finished / ".mixframe/smoke/evaluate-lora.lock", "test"):
        log = run(
            finished, "snakemake", "--cores", "2", "--keep-going", "--until", "evaluate", ok=False
        )
    assert "evaluate smoke lora: another process is running this stage" in log
    assert [path.is_file() for path in gone] == [False, True]
    changed = run(finished, "dvc", "status")
    assert "det/lora.csv" in changed
    assert "det/mfpt.csv" not in changed
    run(finished, "snakemake", "--cores", "2")
    idle(finished)


def test_spoiled_scores_are_made_again_under_both_engines(finished, repro):
    scores = finished / "results/smoke/scores/lora/1/eval_partial.tsv"
    kept = scores.read_text()
    for engine in (["dvc", "repro"], ["snakemake", "--cores", "2"]):
        scores.write_text(kept.rsplit("\n", 2)[0] + "\n")
        run(finished, *engine)
        assert scores.read_text() == kept
    idle(finished)
