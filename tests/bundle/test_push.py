"""What goes to the hub, with a stand-in for its API."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from click.testing import CliRunner
from huggingface_hub.utils import filter_repo_objects

from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file
from mixframe.bundle.pushing import upload
from mixframe.cli import main


class Hub:
    """The two calls of HfApi that an upload makes; it keeps what would be on the hub."""

    def __init__(self):
        self.repositories, self.files = {}, {}

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        assert (repo_type, exist_ok) == ("model", True)
        self.repositories.setdefault(repo_id, private)

    def upload_folder(self, *, repo_id, repo_type, folder_path, allow_patterns, commit_message):
        assert repo_id in self.repositories
        paths = [p.relative_to(folder_path).as_posix() for p in folder_path.rglob("*")]
        files = [path for path in paths if (folder_path / path).is_file()]
        for path in filter_repo_objects(files, allow_patterns=allow_patterns):
            self.files[path] = (folder_path / path).read_bytes()
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")


@pytest.fixture
def hub(monkeypatch):
    one = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: one)
    return one


@pytest.fixture
def copy(bundle, tmp_path):
    """A bundle with things in it that are none of its files."""
    folder = tmp_path / "copy"
    shutil.copytree(bundle("mfpt"), folder)
    (folder / "notes.txt").write_text("private")
    (folder / "encoder" / "README.md").write_text("private")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("private")
    return folder


def own_files(folder):
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and "private" not in p.read_bytes().decode("latin-1")
    }


def run(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_the_files_of_the_bundle_go_to_a_private_repository(hub, copy):
    result = run("--to", copy, "--push", "someone/detector")
    assert result.exit_code == 0, result.output
    assert "https://huggingface.co/someone/detector/commit/1" in result.output
    assert hub.repositories == {"someone/detector": True}
    assert set(hub.files) == own_files(copy)
    assert all(content == (copy / path).read_bytes() for path, content in hub.files.items())


def test_a_dry_run_lists_exactly_what_would_go(hub, copy):
    result = run("--to", copy, "--push", "someone/detector", "--dry-run")
    assert result.exit_code == 0, result.output
    assert (hub.repositories, hub.files) == ({}, {})
    *lines, total = result.output.splitlines()
    upload(copy, "someone/detector")
    assert [line.split() for line in lines] == [
        [f"{(copy / path).stat().st_size:,}", sha256_file(copy / path), path]
        for path in sorted(hub.files)
    ]
    size = sum(len(content) for content in hub.files.values())
    assert total == (
        f"{len(lines)} files, {size:,} bytes would go to someone/detector; nothing was sent"
    )


def test_one_command_exports_and_pushes(hub, in_project, tmp_path):
    result = run("--system", "lfcc", "--to", tmp_path / "new", "--push", "someone/lfcc")
    assert result.exit_code == 0, result.output
    assert set(hub.files) == {"README.md", "bundle.json", "model.safetensors"}


def test_a_bundle_that_is_not_whole_stays_here(hub, copy):
    (copy / "head.safetensors").write_bytes(b"other")
    result = run("--to", copy, "--push", "someone/detector")
    assert result.exit_code == 1
    assert "head.safetensors: sha256" in result.output
    assert hub.files == {}


@pytest.mark.parametrize("error", [OSError("no network"), ValueError])
def test_what_the_hub_says_is_said(hub, copy, monkeypatch, error):
    if error is ValueError:
        error = huggingface_hub.errors.HFValidationError("Repo id must be ...")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub, "create_repo", fail)
    with pytest.raises(MixframeError, match=f"^a/b: not uploaded: {error}"):
        upload(copy, "a/b")


@pytest.mark.parametrize(
    "arguments", [("--to", "x"), ("--to", "x", "--dry-run"), ("--system", "lfcc")]
)
def test_options_that_do_not_go_together(arguments):
    assert run(*arguments).exit_code == 2
