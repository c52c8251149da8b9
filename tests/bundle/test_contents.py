"""A bundle that is not whole is refused by name, in one sentence."""

import json
import shutil

import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file
from mixframe.bundle.contents import read_contents
from mixframe.bundle.detector import Detector


@pytest.fixture
def copy(bundle, tmp_path):
    shutil.copytree(bundle("mfpt"), tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, **changes):
    """Change top-level keys of bundle.json."""
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pin_again(folder, name):
    """Make bundle.json agree with a file that was changed."""
    files = json.loads((folder / "bundle.json").read_text())["files"]
    edit(folder, files={**files, name: sha256_file(folder / name)})


def refused(folder, message):
    with pytest.raises(MixframeError, match=message) as caught:
        Detector.load(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_whole_bundle_is_read_as_it_was_written(copy):
    text = json.loads((copy / "bundle.json").read_text())
    assert read_contents(copy).model_dump(mode="json") == text


def test_no_folder_and_no_bundle(tmp_path):
    refused(tmp_path / "none", "none: no such folder")
    refused(tmp_path, r"bundle\.json: no such file, so .* is no bundle")


@pytest.mark.parametrize("name", ["head.safetensors", "encoder/model.safetensors"])
def test_a_missing_file(copy, name):
    (copy / name).unlink()
    refused(copy, f"{name}: no such file")


@pytest.mark.parametrize("name", ["head.safetensors", "encoder/config.json"])
def test_a_file_with_another_sha256(copy, name):
    with (copy / name).open("ab") as stream:
        stream.write(b" ")
    refused(copy, rf"{name}: sha256 [0-9a-f]{{64}}, but .*bundle\.json says [0-9a-f]{{64}}")


@pytest.mark.parametrize(
    ("number", "hint"), [(3, "a newer version reads it"), (1, "export it again")]
)
def test_another_format(copy, number, hint):
    edit(copy, format=number)
    refused(copy, f"format {number}, but this version of mixframe reads format 2; {hint}$")


@pytest.mark.parametrize("number", [0, "1", None, True])
def test_a_format_that_never_was(copy, number):
    edit(copy, format=number)
    refused(copy, f"format {number!r}, but this version of mixframe reads format 2$")


def test_json_that_is_none(copy):
    (copy / "bundle.json").write_text('{"format": 2,')
    refused(copy, r"bundle\.json, line 1: not JSON")


def test_bytes_that_are_no_text(copy):
    (copy / "bundle.json").write_bytes(b"\xff\xfe\x00")
    refused(copy, r"bundle\.json, byte 0: not UTF-8")


def test_json_that_is_no_object(copy):
    (copy / "bundle.json").write_text("[]")
    refused(copy, r"bundle\.json: format None")


def test_an_unknown_key(copy):
    edit(copy, colour="blue")
    with pytest.raises(MixframeError, match="colour = 'blue': unknown key"):
        read_contents(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b", "a\\b", "*"])
def test_a_path_that_leads_out(copy, name):
    edit(copy, files={name: "0" * 64})
    with pytest.raises(MixframeError, match="expected a path inside the bundle"):
        read_contents(copy)


@pytest.mark.parametrize(
    "name",
    [
        "head.safetensors",
        "adapter_model.safetensors",
        "classifier.safetensors",
        "encoder/model.safetensors",
        "encoder/config.json",
        "encoder/preprocessor_config.json",
    ],
)
def test_damage_that_bundle_json_agrees_with(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    pin_again(copy, name)
    refused(copy, str(copy))


@pytest.mark.parametrize("name", ["head.safetensors", "adapter_model.safetensors"])
def test_weights_of_another_system(copy, bundle, name):
    other = bundle("mfpt_fgfm") / "head.safetensors"
    (copy / name).write_bytes(other.read_bytes())
    pin_again(copy, name)
    refused(copy, str(copy))


def test_damaged_mixtures(bundle, tmp_path):
    shutil.copytree(bundle("lfcc"), tmp_path / "lfcc")
    (tmp_path / "lfcc" / "model.safetensors").write_bytes(b"\x08")
    pin_again(tmp_path / "lfcc", "model.safetensors")
    refused(tmp_path / "lfcc", r"model\.safetensors: no safetensors")
