"""AntiDeepfake's encoders, of random weights in their format, become foundation models."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from transformers import AutoModel, HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

from mixframe.base.errors import MixframeError
from mixframe.bundle.antideepfake import convert
from mixframe.cli import main
from mixframe.models import backbone as backbones
from mixframe.models.params import Encoder
from mixframe.stages.pretrain import adopt
from tests.conftest import tone

KINDS = {
    "large": (Wav2Vec2Config, Wav2Vec2Model, {"num_attention_heads": 16, "hidden_size": 32}),
    "small": (Wav2Vec2Config, Wav2Vec2Model, {"num_attention_heads": 12, "hidden_size": 48}),
    "hubert": (HubertConfig, HubertModel, {"num_attention_heads": 16, "hidden_size": 32}),
}


def model_of(kind):
    """Return a random encoder of transformers with the switches of a published kind."""
    config, model, shape = KINDS[kind]
    grouped = kind == "small"
    torch.manual_seed(0)
    return model(
        config(
            **shape,
            num_hidden_layers=3,
            intermediate_size=40,
            conv_dim=[8] * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_extract_norm="group" if grouped else "layer",
            do_stable_layer_norm=not grouped,
            conv_bias=kind == "large",
        )
    ).eval()


def fairseq_name(name):
    """Return fairseq's name of a weight of transformers, written down apart from the code."""
    part, _, end = name.rpartition(".")
    if name == "masked_spec_embed":
        return "mask_emb"
    if part == "feature_projection.projection":
        return f"post_extract_proj.{end}"
    if part == "feature_projection.layer_norm":
        return f"layer_norm.{end}"
    if part == "encoder.layer_norm":
        return name
    if name.startswith("encoder.pos_conv_embed"):
        names = {"bias": "bias", "original0": "weight_g", "original1": "weight_v"}
        return f"encoder.pos_conv.0.{names[end]}"
    words = part.split(".")
    if words[0] == "feature_extractor":
        return ".".join([*words[:3], "0" if words[3] == "conv" else "NORM", end])
    own = {
        "attention": "self_attn." + words[-1],
        "layer_norm": "self_attn_layer_norm",
        "final_layer_norm": "final_layer_norm",
        "feed_forward": "fc1" if words[-1] == "intermediate_dense" else "fc2",
    }
    return ".".join([*words[:3], own[words[3]], end])


def tensors_of(model, kind):
    """Return the weights by the published names, with the head and what the encoder lacks."""
    norm = "2" if kind == "small" else "2.1"
    width = model.config.hidden_size
    own = {
        "m_ssl.model." + fairseq_name(name).replace("NORM", norm): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    unused = {"final_proj.weight": (4, width), "final_proj.bias": (4,)}
    if kind == "hubert":
        unused["label_embs_concat"] = (5, 4)
    else:
        unused |= {
            "quantizer.vars": (1, 6, 2),
            "quantizer.weight_proj.weight": (6, 8),
            "quantizer.weight_proj.bias": (6,),
            "project_q.weight": (4, 4),
            "project_q.bias": (4,),
        }
    own |= {f"m_ssl.model.{name}": torch.randn(shape) for name, shape in unused.items()}
    return {**own, "proj_fc.weight": torch.randn(2, width), "proj_fc.bias": torch.randn(2)}


def write(folder, tensors):
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_is_the_same(kind, tmp_path):
    model = model_of(kind)
    source = write(tmp_path / "published", tensors_of(model, kind))
    said = convert(source, tmp_path / "foundation")
    n_parameters = sum(p.numel() for p in model.parameters())
    width = model.config.hidden_size
    assert said.endswith(f"3 layers of width {width}, {n_parameters:,} parameters")
    waves = torch.from_numpy(np.stack([tone(6000, 1), tone(6000, 2)]))
    with torch.inference_mode():
        expected = model(waves).last_hidden_state
        plain = AutoModel.from_pretrained(tmp_path / "foundation").eval()
        assert type(plain) is type(model)
        assert torch.allclose(plain(waves).last_hidden_state, expected, atol=1e-6)
        (tmp_path / "adopted").mkdir()
        adopt(tmp_path / "foundation", tmp_path / "adopted")
        backbone = backbones.load(tmp_path / "adopted", Encoder(dropout=0.0))
        frames = backbone.model.eval()(waves).last_hidden_state
    assert torch.allclose(frames, expected, atol=1e-6)
    assert backbone.normalise
    assert backbone.masks_padding == (kind != "small")
    assert "CC BY-NC-SA 4.0" in (tmp_path / "foundation" / "README.md").read_text()


def test_half_precision_becomes_single(tmp_path):
    tensors = {k: v.half() for k, v in tensors_of(model_of("large"), "large").items()}
    convert(write(tmp_path / "published", tensors), tmp_path / "foundation")
    model = AutoModel.from_pretrained(tmp_path / "foundation")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m_ssl.model.adapter.weight": torch.ones(2)}, "unknown tensors m_ssl.model.adapter"),
        ({"classifier.weight": torch.ones(2)}, "unknown tensors classifier.weight"),
        ({"m_ssl.model.encoder.layers.1.fc2.bias": None}, "1.feed_forward.output_dense.bias"),
        ({"m_ssl.model.post_extract_proj.weight": None}, "post_extract_proj.weight is missing"),
        ({"m_ssl.model.layer_norm.bias": torch.ones(3)}, r"has shape \(3,\), expected \(8,\)"),
        (
            {"m_ssl.model.encoder.pos_conv.0.weight_v": torch.ones(16)},
            r"pos_conv\.0\.weight_v has shape \(16,\), expected 3 sizes",
        ),
        (
            {"m_ssl.model.post_extract_proj.weight": torch.ones(2**40, 0)},
            r"post_extract_proj\.weight has shape .*, expected 2 sizes above 0",
        ),
        ({"m_ssl.model.post_extract_proj.weight": torch.ones(10, 8)}, "no encoder has such shapes"),
        # Attention of such a width would take 16 TB.
        (
            {"m_ssl.model.post_extract_proj.weight": torch.ones(2**20, 1)},
            r"has shape .*, expected \(.*1048576",
        ),
    ],
)
def test_tensors_that_are_missing_or_unknown_are_named(tmp_path, change, message):
    tensors = {**tensors_of(model_of("large"), "large"), **change}
    source = write(tmp_path / "published", {k: v for k, v in tensors.items() if v is not None})
    with pytest.raises(MixframeError, match=message):
        convert(source, tmp_path / "foundation")
    assert [p.name for p in tmp_path.iterdir()] == ["published"]


def test_pickles_are_refused_by_name(tmp_path):
    (tmp_path / "mms_300m.ckpt").write_bytes(b"\x80\x04.")
    for source in (tmp_path, tmp_path / "mms_300m.ckpt"):
        with pytest.raises(MixframeError, match=r"mms_300m\.ckpt: a pickled file, which could run"):
            convert(source, tmp_path / "foundation")


def test_no_weights_and_damaged_weights(tmp_path):
    with pytest.raises(MixframeError, match=r"model\.safetensors: no such file"):
        convert(tmp_path, tmp_path / "foundation")
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(MixframeError, match=r"model\.safetensors: no safetensors"):
        convert(tmp_path, tmp_path / "foundation")


def test_the_command_says_what_it_made(tmp_path):
    source = write(tmp_path / "published", tensors_of(model_of("large"), "large"))
    command = ["import", "antideepfake", str(source), "--to", str(tmp_path / "foundation")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "wav2vec2, 3 layers of width 32" in result.output
    assert CliRunner().invoke(main, command).exit_code == 1
