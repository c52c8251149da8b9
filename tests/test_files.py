"""Files appear whole or not at all."""

import errno
import multiprocessing

import pytest

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path, digest, need_space, stage_lock, write_json
from mixframe.stages.context import fresh_folder


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    class Failure(Exception):
        pass

    with pytest.raises(Failure), atomic_path(path) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("half")
        raise Failure
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(MixframeError, match=r"model\.safetensors: no space left on the disk"),
        atomic_path(tmp_path / "model.safetensors") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_system_are_passed_on(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError


def test_space_is_checked_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**20})())
    need_space(tmp_path / "not" / "yet" / "there", 2**20, "the corpus")
    with pytest.raises(MixframeError, match="the corpus needs 2 MiB, the disk has 1 MiB free"):
        need_space(tmp_path, 2**21, "the corpus")


def hold(path, ready, done):
    with stage_lock(path, "first"):
        ready.set()
        done.wait()


def test_a_lock_is_exclusive_and_goes_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "lock", ready, done))
    other.start()
    ready.wait(30)
    with (
        pytest.raises(MixframeError, match="second: another process is running this stage"),
        stage_lock(tmp_path / "lock", "second"),
    ):
        pass
    other.kill()
    other.join()
    with stage_lock(tmp_path / "lock", "second"):
        pass


def test_a_folder_is_replaced_at_the_end_only(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), fresh_folder(target) as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert not target.exists()
    with fresh_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_json_refuses_what_is_no_number(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"eer": float("nan")})
    assert not list(tmp_path.iterdir())


def test_digest_does_not_depend_on_key_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_long_listings_are_cut_and_counted():
    text = listing([str(i) for i in range(25)])
    assert text.count("\n") == 20
    assert text.endswith("... and 5 more")
