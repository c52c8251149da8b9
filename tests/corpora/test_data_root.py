"""The data root: what is made with it on one machine is valid on another with another root."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mixframe.audio import manifest
from mixframe.audio.io import AudioRef, read, tar_writer
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json, write_json
from mixframe.base.folders import data_root, located, stored
from mixframe.corpora import archives, trials
from mixframe.stages.protocol import downloaded
from tests.corpora.build import ARCHIVES, packed, unpacked
from tests.corpora.test_archives import section
from tests.corpora.test_trials import section as protocol_section

KIND = "asvspoof5"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A working folder, and no root set."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.delenv("MIXFRAME_DATA", raising=False)


def test_the_root_is_the_environments_or_that_of_the_repository(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    assert data_root() == Path("data")
    workspace = repository / ".dvc/tmp/exps/standalone/tmp1"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    assert data_root() == repository / "data"
    monkeypatch.setenv("MIXFRAME_DATA", "../corpora")
    assert data_root() == repository / "../corpora"
    monkeypatch.setenv("MIXFRAME_DATA", "/scratch/corpora")
    assert data_root() == Path("/scratch/corpora")
    monkeypatch.setenv("MIXFRAME_DATA", "")
    assert data_root() == repository / "data"


def test_paths_below_the_root_are_stored_without_it(monkeypatch):
    for root in ("", "/scratch/corpora", "elsewhere", "data/large"):
        monkeypatch.setenv("MIXFRAME_DATA", root)
        path = data_root() / "demo" / "a.tar"
        assert stored(path) == stored(path.absolute()) == "data/demo/a.tar"
        assert located("data/demo/a.tar") == located(str(path)) == path
        assert stored(data_root()) == "data"
        for other in ("results/smoke/corpus/audio.tar", "/lab/a.flac", "database/a.flac"):
            assert stored(Path(other)) == other
            assert located(other) == Path(other)


def on_this_machine(monkeypatch, root, path, addresses=()):
    """Download with a root and keep what the stage keeps."""
    monkeypatch.setenv("MIXFRAME_DATA", str(root))
    entry = archives.download(section(KIND, path, addresses), data_root() / KIND)
    name = Path(f"{root.name}.json")
    write_json(name, {KIND: entry})
    return name


def make_manifest():
    entry = downloaded(read_json(Path("a.json"))[KIND], "mine")
    table = trials.protocol(protocol_section(KIND), 1, entry, None, 1)
    manifest.write(table, Path("manifest.parquet"))


def read_all():
    return [read(ref) for ref in manifest.refs(manifest.read(Path("manifest.parquet")))]


@pytest.mark.parametrize("form", ["unpacked", "archives"])
@pytest.mark.parametrize("where", ["below the root", "elsewhere"])
def test_a_corpus_in_place_moves_with_its_root(tmp_path, monkeypatch, form, where):
    def place(folder):
        if form == "unpacked":
            return unpacked(KIND, folder)
        return packed(KIND, unpacked(KIND, tmp_path / "whole"), folder)

    first, second = tmp_path / "a", tmp_path / "b"
    if where == "below the root":
        place(first / "corpora" / "asv5")
        one = on_this_machine(monkeypatch, first, "corpora/asv5")
    else:
        one = on_this_machine(monkeypatch, first, place(tmp_path / "lab"))
    make_manifest()
    expected = read_all()
    assert str(tmp_path) not in one.read_text()
    assert manifest.read(Path("manifest.parquet"))["path"].str.startswith("data/").all()

    if where == "below the root":
        first.rename(second)
        two = on_this_machine(monkeypatch, second, "corpora/asv5")
    else:
        (tmp_path / "lab").rename(tmp_path / "new lab")
        shutil.rmtree(first)
        two = on_this_machine(monkeypatch, second, tmp_path / "new lab")
    assert two.read_bytes() == one.read_bytes()
    for mine, theirs in zip(read_all(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_was_fetched_moves_with_its_root(tmp_path, monkeypatch, site):
    packed(KIND, unpacked(KIND, tmp_path / "whole"), site.folder)
    on_this_machine(monkeypatch, tmp_path / "a", "", [site.url])
    make_manifest()
    expected = read_all()
    assert len(site.asked) == len(ARCHIVES[KIND])
    os.rename(tmp_path / "a", tmp_path / "b")
    monkeypatch.setenv("MIXFRAME_DATA", str(tmp_path / "b"))
    for mine, theirs in zip(read_all(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_absent_data_is_named_with_the_command_that_fetches_it(tmp_path, monkeypatch):
    unpacked(KIND, tmp_path / "a" / "asv5")
    on_this_machine(monkeypatch, tmp_path / "a", "asv5")
    make_manifest()
    monkeypatch.setenv("MIXFRAME_DATA", str(tmp_path / "empty"))
    with pytest.raises(MixframeError, match="run `mixframe download --preset mine`") as error:
        make_manifest()
    assert f"{tmp_path}/empty/asv5: not there" in str(error.value)
    assert f"{tmp_path}/empty/asv5/ASVspoof5.train.tsv: no such file" in str(error.value)
    with pytest.raises(MixframeError, match=r"empty/asv5/.*: no such audio file; `mixframe down"):
        read_all()


def test_generated_audio_stays_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXFRAME_DATA", str(tmp_path / "a"))
    with tar_writer(Path("results/x/corpus/audio.tar")) as audio:
        ref = audio.add("a", b"encoded")
    assert ref == AudioRef("results/x/corpus/audio.tar", 512, 7)
    assert ref.open().getvalue() == b"encoded"
