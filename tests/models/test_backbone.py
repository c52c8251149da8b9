"""Foundation models: the format others read, their frames, padding that does not show."""

import json
import shutil

import pytest
import torch
from transformers import AutoModel, HubertConfig, HubertModel

from mixframe.base.errors import MixframeError
from mixframe.base.tensors import load_tensors, save_tensors
from mixframe.models import backbone as backbones
from mixframe.models.params import ENCODER_FILES, Encoder
from tests.conftest import ARCHITECTURE

PLAIN = Encoder(dropout=0.0)


def padded(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    waves = [torch.randn(n, generator=generator) for n in lengths]
    return torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), torch.tensor(lengths)


def test_what_is_saved_is_what_transformers_reads(encoder_folder):
    ours = backbones.load(encoder_folder, PLAIN)
    theirs = AutoModel.from_pretrained(encoder_folder, local_files_only=True).eval()
    assert isinstance(theirs, HubertModel)
    ours.model.eval()
    waves, lengths = padded([4000])
    with torch.no_grad():
        expected = theirs(waves).last_hidden_state
        assert torch.allclose(backbones.encode(ours, waves, lengths, False)[0], expected, atol=1e-6)


def test_equal_weights_give_equal_files(encoder_folder, tmp_path):
    loaded = backbones.load(encoder_folder, PLAIN)
    preprocessor = json.loads((encoder_folder / "preprocessor_config.json").read_text())
    backbones.save(loaded, tmp_path / "again", preprocessor)
    for name in ENCODER_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (encoder_folder / name).read_bytes()


@pytest.mark.parametrize("n_samples", [400, 719, 720, 16_000, 16_399])
def test_frames_are_as_many_as_the_model_gives(encoder, n_samples):
    waves, lengths = padded([n_samples])
    layers = backbones.encode(encoder, waves, lengths, True)
    assert len(layers) == encoder.n_layers + 1
    assert {x.shape for x in layers} == {(1, encoder.grid.n_frames(n_samples), encoder.dim)}


def test_padding_does_not_change_valid_frames(encoder):
    encoder.model.eval()
    waves, lengths = padded([3000, 9000, 5000])
    with torch.no_grad():
        together = backbones.encode(encoder, waves, lengths, True)
        for i, n in enumerate(lengths.tolist()):
            alone = backbones.encode(encoder, waves[i : i + 1, :n], lengths[i : i + 1], True)
            n_frames = encoder.grid.n_frames(n)
            for a, b in zip(alone, together, strict=True):
                assert torch.allclose(a[0], b[i, :n_frames], atol=1e-5)


@pytest.mark.parametrize("front", ["layer", "group"])
def test_convolutions_learn_alike_from_an_utterance_alone_and_among_others(front):
    torch.manual_seed(0)
    config = backbones.new_config(ARCHITECTURE)
    config.feat_extract_norm = front
    # As published: the group norm takes away what a bias adds.
    config.conv_bias = front == "layer"
    config.do_stable_layer_norm = front == "layer"
    encoder = backbones.wrap(HubertModel(config), {})
    backbones.freeze(encoder, "none")
    encoder.model.train()
    weights = list(encoder.model.feature_extractor.parameters())
    waves, lengths = padded([3000, 9000, 5000, 3000])
    direction = torch.randn(encoder.dim)

    def gradients(rows):
        size = int(lengths[rows].max())
        frames = backbones.encode(encoder, waves[rows, :size], lengths[rows], False)[0]
        mask = backbones.frame_mask(encoder.grid, lengths[rows], frames.shape[1])
        return torch.autograd.grad((frames[mask] @ direction).square().sum(), weights)

    alone = [sum(parts) for parts in zip(*(gradients([i]) for i in range(4)), strict=True)]
    for one, together in zip(alone, gradients([0, 1, 2, 3]), strict=True):
        assert together.abs().max() > 0
        assert torch.allclose(one, together, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("part", ["none", "convolutions", 1])
def test_a_frozen_part_is_all_that_lies_below(norm_first, part):
    config = backbones.new_config(ARCHITECTURE)
    config.do_stable_layer_norm = norm_first
    encoder = backbones.wrap(HubertModel(config), {})
    backbones.freeze(encoder, part)
    moved = {n for n, p in encoder.model.named_parameters() if p.requires_grad}
    names = {n for n, _ in encoder.model.named_parameters()}
    if part == "none":
        assert moved == names
    elif part == "convolutions":
        assert moved == {n for n in names if not n.startswith("feature_extractor")}
    else:
        above = ("encoder.layers.1.", "encoder.layer_norm.")[: 1 + norm_first]
        assert moved == {n for n in names if n.startswith(above)}
    assert encoder.model.feature_extractor._requires_grad == (part == "none")


def test_more_frozen_layers_than_there_are_is_refused(encoder):
    with pytest.raises(MixframeError, match=r"adapter\.freeze = 2: the encoder has 2 transformer"):
        backbones.freeze(encoder, 2)


def test_random_weights_come_from_their_seed(encoder_folder):
    one, again, other = (
        backbones.load(encoder_folder, PLAIN, seed).model.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_a_missing_weight_is_named(encoder_folder):
    weights = load_tensors(encoder_folder / "model.safetensors", "")
    gone = "encoder.layers.1.attention.q_proj.weight"
    del weights[gone]
    save_tensors(weights, encoder_folder / "model.safetensors")
    with pytest.raises(MixframeError, match=gone):
        backbones.load(encoder_folder, PLAIN)


def test_a_missing_file_is_named(encoder_folder):
    (encoder_folder / "model.safetensors").unlink()
    with pytest.raises(MixframeError, match=r"model\.safetensors: no such file.*stage 'pretrain'"):
        backbones.load(encoder_folder, PLAIN)


def test_a_model_without_a_convolution_front_end_is_refused(encoder_folder):
    shutil.rmtree(encoder_folder)
    encoder_folder.mkdir()
    for name in ("preprocessor_config.json", "model.safetensors"):
        (encoder_folder / name).write_text("{}")
    (encoder_folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(MixframeError, match="'bert' has no conv_kernel"):
        backbones.load(encoder_folder, PLAIN)


def test_layerdrop_and_specaugment_are_off_whatever_the_file_says(encoder_folder):
    path = encoder_folder / "config.json"
    config = json.loads(path.read_text()) | {"layerdrop": 0.5, "hidden_dropout": 0.3}
    path.write_text(json.dumps(config))
    loaded = backbones.load(encoder_folder, PLAIN).model.config
    assert isinstance(loaded, HubertConfig)
    assert (loaded.layerdrop, loaded.hidden_dropout, loaded.apply_spec_augment) == (0, 0, False)
    assert backbones.load(encoder_folder, Encoder(dropout=0.1)).model.config.hidden_dropout == 0.1
