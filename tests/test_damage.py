"""Damaged artefacts: one sentence that names the file, and nothing that is in it is run."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from mixframe.audio.frames import read_grid
from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file, write_json
from mixframe.base.tensors import load_tensors, save_tensors
from mixframe.corpora.source import pin, read_entries
from mixframe.models import backbone as backbones
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.localiser import frame_classifier
from mixframe.models.params import Encoder
from mixframe.stages.card import read_card
from mixframe.stages.pretrain import adopt
from mixframe.stages.protocol import downloaded
from mixframe.stages.systems import check_card

CARD = {
    "isa": "avx2",
    "parameters": {"trainable": 1, "total": 2},
    "files": {},
    "encoder": {"folder": "", "files": {}},
    "best_step": 7,
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"files": {}',
        b"\xff\xfe{\0}\0",
        *(
            json.dumps({k: v for k, v in CARD.items() if k != absent}).encode()
            for absent in ("isa", "parameters", "files", "encoder")
        ),
        json.dumps({**CARD, "files": ["head.safetensors"]}).encode(),
        json.dumps({**CARD, "encoder": {"folder": ""}}).encode(),
        json.dumps({**CARD, "parameters": {"total": "2"}}).encode(),
    ],
)
def test_a_card_that_is_none_is_named(tmp_path, content):
    (tmp_path / "card.json").write_bytes(content)
    for read in (read_card, check_card):
        with pytest.raises(MixframeError, match=r"card\.json"):
            read(tmp_path)


def test_a_card_may_say_more(tmp_path):
    write_json(tmp_path / "card.json", CARD)
    assert read_card(tmp_path).parameters.total == 2
    check_card(tmp_path)


def entries(tmp_path, content=b"speech"):
    (tmp_path / "a.tar").write_bytes(content)
    return {"demo": {"kind": "demo", "files": [pin(tmp_path / "a.tar")]}}


def test_every_byte_of_what_was_downloaded_counts(tmp_path):
    """A byte that is flipped is noticed wherever it stands, but for white space."""
    path = tmp_path / "download.json"
    # One flip away from this folder may be that of another run of the tests: no two have the same.
    write_json(path, entries(tmp_path, content=bytes(tmp_path)))
    content = path.read_bytes()
    kept = read_entries(path)["demo"]
    for place, byte in enumerate(content):
        if bytes([byte]).isspace():
            continue
        path.write_bytes(content[:place] + bytes([byte ^ 1]) + content[place + 1 :])
        try:
            read = read_entries(path)
            # What stage protocol does: the corpus by its name, its kind, then its files.
            assert read["demo"]["kind"] == "demo"
            downloaded(read["demo"], "demo")
        except (MixframeError, KeyError, AssertionError):
            continue
        pytest.fail(f"byte {place} of {content!r} can be flipped: {read} for {kept}")


def test_a_file_of_another_size_is_named(tmp_path):
    entry = entries(tmp_path)["demo"]
    entry["files"][0]["bytes"] = 7
    with pytest.raises(MixframeError, match=r"a\.tar: 6 bytes, expected 7"):
        downloaded(entry, "mine")


@pytest.mark.parametrize("change", [{"kind": 1}, {"files": None}, {"files": [{}]}, {"other": 1}])
def test_an_entry_that_is_none_is_named(tmp_path, change):
    path = tmp_path / "download.json"
    write_json(path, {"demo": {**entries(tmp_path)["demo"], **change}})
    with pytest.raises(MixframeError, match=r"download\.json, demo"):
        read_entries(path)


def damages(data):
    return (b"", data[:7], data[: len(data) // 2], data[:-1], b"\xff" * 20 + data[20:])


def test_tensors_that_are_cut_or_flipped_are_named(tmp_path):
    path = tmp_path / "head.safetensors"
    save_tensors({"weight": torch.zeros(30, 30)}, path)
    data = path.read_bytes()
    for content in damages(data):
        path.write_bytes(content)
        with pytest.raises(MixframeError, match=r"head\.safetensors: no safetensors, cut or dam"):
            load_tensors(path, "finetune")


def test_a_frame_classifier_of_another_encoder_is_named(tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_tensors(FrameClassifier(16, 8).state_dict(), path)
    assert frame_classifier(path, "posttrain", 16)
    with pytest.raises(MixframeError, match=r"classifier\.safetensors: no frame .* of width 32"):
        frame_classifier(path, "posttrain", 32)
    save_tensors({"weight": torch.zeros(3)}, path)
    with pytest.raises(MixframeError, match=r"classifier\.safetensors: no frame classifier"):
        frame_classifier(path, "posttrain", 16)


def test_encoder_weights_that_are_cut_or_flipped_are_named(encoder_folder):
    path = encoder_folder / "model.safetensors"
    data = path.read_bytes()
    for content in damages(data):
        path.write_bytes(content)
        with pytest.raises(MixframeError, match=r"model\.safetensors: no weights of the encoder"):
            backbones.load(encoder_folder, Encoder(dropout=0.0))


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"conv_kernel": None},
        {"conv_kernel": "10"},
        {"conv_kernel": [10, 3.0, 3, 3, 3, 2, 2]},
        {"conv_stride": [5, 2]},
        {"conv_stride": [5, 2, 2, 2, 2, 2, -2]},
        {"model_type": "no such model"},
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
    ],
)
def test_a_configuration_that_cannot_be_is_named(encoder_folder, change):
    path = encoder_folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text("null" if change is None else json.dumps({**config, **change}))
    with pytest.raises(MixframeError, match=r"config\.json|model\.safetensors|kernels and"):
        backbones.load(encoder_folder, Encoder(dropout=0.0))
    if change is None or any(key.startswith("conv") for key in change):
        with pytest.raises(MixframeError):
            read_grid(path)


class Command:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_weights_that_are_none_are_named_and_not_run(encoder_folder, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(encoder_folder, source)
    target.mkdir()
    weights = load_tensors(source / "model.safetensors", "")
    (source / "model.safetensors").unlink()
    path = source / "pytorch_model.bin"
    torch.save(weights, path)
    adopt(source, target)
    assert sha256_file(target / "model.safetensors") == sha256_file(
        encoder_folder / "model.safetensors"
    )
    whole, ran = path.read_bytes(), tmp_path / "ran"
    contents = [*damages(whole), pickle.dumps(Command(ran)), pickle.dumps([1, 2])]
    for value in (
        list(weights.values()),
        None,
        {"weight": Command(ran)},
        {name: tensor[:1] for name, tensor in weights.items()},
        {},
    ):
        torch.save(value, path)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(MixframeError, match=r"pytorch_model\.bin|weights of the architecture"):
            adopt(source, target)
    assert not ran.exists()
