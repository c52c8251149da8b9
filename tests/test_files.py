"""Files appear whole or not at all."""

import errno
import multiprocessing
import os

import pytest

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import (
    atomic_path,
    digest,
    need_space,
    read_json,
    read_object,
    stage_lock,
    write_json,
)
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


def write_and_die(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        os._exit(1)


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    path = tmp_path / "audio.tar"
    process = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(path,))
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".audio.")
    others = [tmp_path / name for name in (".audio.20240101.tar", ".audios.12345678.partial.tar")]
    for other in others:
        other.write_text("not a temporary file of audio.tar")
    with atomic_path(path) as temporary:
        assert not left.exists()
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {path, *others}


def test_a_temporary_file_that_is_being_written_stays(tmp_path):
    path = tmp_path / "scores.tsv"
    with atomic_path(path) as first:
        first.write_text("first")
        with atomic_path(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: not JSON"),
        (b'{"a": 1', "line 1: not JSON"),
        (b'{"a": "\xff"}', "byte 7: not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b"1" * 5_000, "not JSON that can be read"),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(MixframeError, match=rf"card\.json.*{message}"):
        read_json(path)


def test_json_is_read_up_to_a_size(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr("mixframe.base.files.LARGEST_JSON", 13)
    assert read_object(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr("mixframe.base.files.LARGEST_JSON", 12)
    with pytest.raises(MixframeError, match="13 bytes, expected JSON of up to 12"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["null", "[]", "1", '"text"'])
def test_what_should_be_an_object_is_one(tmp_path, content):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(MixframeError, match=r"card\.json: holds \w+, expected an object"):
        read_object(tmp_path / "card.json")


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(MixframeError, match=r"model\.safetensors: no space left on the disk"),
        atomic_path(tmp_path / "model.safetensors") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("full", [True, False])
def test_a_full_disk_is_named_whatever_the_writer_says_of_it(tmp_path, monkeypatch, full):
    free = 2**19 if full else 2**30
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free})())
    expected = (MixframeError, "no space left") if full else (RuntimeError, "unexpected pos")
    with pytest.raises(expected[0], match=expected[1]), atomic_path(tmp_path / "state.pt") as file:
        file.write_text("half")
        # As torch.save says it.
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 318400")
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
    text = listing([f"a.csv, line 3: {'9' * 10_000}; expected a word"])
    assert len(text) < 600
    assert text.startswith("  a.csv, line 3: 99")
    assert text.endswith("9; expected a word")
