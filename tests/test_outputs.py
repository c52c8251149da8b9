"""Results go to regular files and new names only, and what cannot be written is said first."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, stage_lock
from mixframe.base.outputs import check_outputs, write_output
from mixframe.bundle.folders import new_folder
from mixframe.cli import main
from mixframe.stages.context import fresh_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A score file and its keys, in the working folder."""
    monkeypatch.chdir(tmp_path)
    labels = [f"u{i}\t{'bonafide' if i % 2 else 'spoof'}\n" for i in range(40)]
    Path("keys.txt").write_text("".join(["filename\tcm-label\n", *labels]))
    Path("s.txt").write_text("".join(f"u{i} {i % 7}.5\n" for i in range(40)))
    Path("t.txt").write_text("".join(f"u{i} {i % 5}.5\n" for i in range(40)))
    return tmp_path


def contents(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


EVALUATE = ["evaluate", "s.txt", "--keys", "keys.txt", "--resamples", "10", "--json"]
COMPARE = ["compare", "s.txt", "t.txt", "--keys", "keys.txt", "--resamples", "10", "--json"]
FUSE = ["fuse", "s.txt", "t.txt", "--keys", "keys.txt", "--dev", "s.txt", "t.txt"]
FUSE += ["--dev-keys", "keys.txt", "--output"]

PLACES = {
    "s.txt": "s.txt: is read by this command; it is not overwritten",
    "./keys.txt": "keys.txt: is read by this command",
    "link_to_s": "link_to_s: is read by this command",
    "fifo": "fifo: exists and is no regular file",
    "/dev/null": "/dev/null: exists and is no regular file",
    "a_folder": "a_folder: exists and is no regular file",
    "s.txt/x/y.json": "s.txt/x/y.json: s.txt: Not a directory",
    "n" * 300: "n: File name too long",
    f"new/{'n' * 300}/x": "File name too long",
    f"x.{'n' * 250}": "File name too long",
    "circle": "circle: ",
}


@pytest.mark.parametrize("command", [EVALUATE, COMPARE, FUSE], ids=lambda c: c[0])
@pytest.mark.parametrize("place", PLACES, ids=lambda p: p[:20])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    folder, monkeypatch, command, place
):
    Path("link_to_s").symlink_to("s.txt")
    Path("circle").symlink_to("circle")
    Path("a_folder").mkdir()
    os.mkfifo("fifo")
    for computed in ("metrics.scorecard.join", "metrics.fusion.read"):
        monkeypatch.setattr(f"mixframe.{computed}", lambda *_: pytest.fail("computed"))
    before = contents(folder)
    result = CliRunner().invoke(main, [*command, place])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert PLACES[place] in result.stderr.replace(f"{folder}/", "")
    assert result.stderr.count("\n") == 1
    assert contents(folder) == before


@pytest.mark.parametrize("command", [EVALUATE, COMPARE, FUSE], ids=lambda c: c[0])
def test_a_new_name_an_old_file_and_the_target_of_a_link_are_written(folder, command):
    Path("old").write_text("old")
    Path("target").write_text("old")
    Path("link").symlink_to("target")
    Path("to_nothing").symlink_to("made_by_it")
    for place in ("new/below/x", "old", "link", "to_nothing", "n" * 255):
        result = CliRunner().invoke(main, [*command, place])
        assert result.exit_code == 0, result.output
    texts = {Path(p).read_text() for p in ("new/below/x", "old", "target", "made_by_it", "n" * 255)}
    assert len(texts) == 1
    assert Path("link").is_symlink()
    assert Path("to_nothing").is_symlink()


def test_nothing_in_a_folder_that_is_read_is_overwritten(tmp_path):
    (tmp_path / "labels").mkdir()
    label = tmp_path / "labels" / "a.vad"
    label.write_text("x")
    with pytest.raises(MixframeError, match=r"a\.vad: is read by this command"):
        check_outputs([label], [tmp_path / "labels"])
    check_outputs([tmp_path / "labels" / "new.json"], [tmp_path / "labels", tmp_path / "missing"])
    with pytest.raises(MixframeError, match="is to be written twice"):
        check_outputs([tmp_path / "x", tmp_path / "labels" / ".." / "x"])


def refuse(monkeypatch, name):
    """Let the system refuse one of its calls, as a read-only place does; root may all else."""

    def refused(path, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(name, refused)


def test_a_read_only_place_is_named(tmp_path, monkeypatch):
    place = tmp_path / "x.json"
    place.write_text("kept")
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda *_: False)
        with pytest.raises(MixframeError, match=r"x\.json: is read-only"):
            check_outputs([place])
    refuse(monkeypatch, "mixframe.base.outputs.temporary_file")
    with pytest.raises(MixframeError, match=rf"x\.json: {tmp_path}: Permission denied"):
        check_outputs([place])
    refuse(monkeypatch, "mixframe.base.files.temporary_file")
    with pytest.raises(MixframeError, match=r"x\.json: .*: Permission denied"):
        write_output(place, "x")
    assert place.read_text() == "kept"


@pytest.mark.parametrize(
    "write",
    [
        atomic_path,
        fresh_folder,
        new_folder,
        lambda path: stage_lock(path, f"stage of {path}"),
    ],
)
def test_a_stage_that_may_not_write_says_where(tmp_path, monkeypatch, write):
    (tmp_path / "results").write_text("a file in the place of the folder")
    with (
        pytest.raises(MixframeError, match=r"results/demo/x: .*results"),
        write(tmp_path / "results" / "demo" / "x"),
    ):
        pass
    refuse(monkeypatch, "pathlib.Path.mkdir")
    with (
        pytest.raises(MixframeError, match=r"/new/x: .*: Permission denied"),
        write(tmp_path / "new" / "x"),
    ):
        pass


def shell(command, folder):
    program = f"{sys.executable} -m mixframe"
    return subprocess.run(
        ["bash", "-c", command.replace("mixframe", program, 1)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["--help", "evaluate --help", "--version"])
@pytest.mark.parametrize(
    ("where", "said"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_a_standard_output_that_takes_nothing_is_said_and_counts(folder, arguments, where, said):
    done = shell(f"mixframe {arguments} {where}", folder)
    assert done.returncode == 1
    assert done.stderr == f"mixframe: standard output: {said}; what was printed is lost\n"


def test_the_file_is_written_although_nothing_can_be_printed(folder):
    for where in ("> /dev/full", ">&-", "> /dev/full 2> /dev/full", ">&- 2>&-"):
        Path("out.json").unlink(missing_ok=True)
        done = shell(f"mixframe {' '.join(EVALUATE)} out.json {where}", folder)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert Path("out.json").stat().st_size > 100


def test_a_reader_that_stops_reading_is_met_without_a_word(folder):
    done = shell("mixframe --help | true; exit ${PIPESTATUS[0]}", folder)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    assert shell(">&- mixframe use --help 2>&1", folder).stdout == ""


def test_other_errors_of_the_system_stay_what_they_are(monkeypatch):
    def broken(*_args, **_options):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr("mixframe.experiment.params.read_choice", broken)
    result = CliRunner().invoke(main, ["params"])
    assert isinstance(result.exception, FileNotFoundError)
