"""AntiDeepfake's encoders (Ge et al., 2025, nii-yamagishilab/AntiDeepfake) for transformers.

They are wav2vec 2.0 and HuBERT encoders post-trained on speech of many deepfake corpora, saved with
fairseq's names under `m_ssl.model.`, and a linear layer `proj_fc`, which is left out here.
"""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoModel,
    HubertConfig,
    PretrainedConfig,
    PreTrainedModel,
    Wav2Vec2Config,
)

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.base.files import write_text
from mixframe.base.tensors import first_line, load_tensors
from mixframe.bundle.folders import new_folder
from mixframe.models import backbone as backbones

WEIGHTS = "model.safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
PREFIX = "m_ssl.model."
HEAD = {"proj_fc.weight", "proj_fc.bias"}

UNUSED = {
    "quantizer.vars",
    "quantizer.weight_proj.weight",
    "quantizer.weight_proj.bias",
    "project_q.weight",
    "project_q.bias",
    "final_proj.weight",
    "final_proj.bias",
    "label_embs_concat",
}
"""Of pre-training; no part of the encoder."""

HUBERT = "label_embs_concat"
"""HuBERT has it, wav2vec 2.0 has not."""

ENDS = r"\.(weight|bias)"
POSITIONS = "encoder.pos_conv_embed.conv"
CONVOLUTION = r"feature_extractor\.conv_layers"
LAYER = r"encoder\.layers\.(\d+)"
RENAMED = [
    (rf"post_extract_proj{ENDS}", r"feature_projection.projection.\1"),
    (rf"layer_norm{ENDS}", r"feature_projection.layer_norm.\1"),
    (r"mask_emb", "masked_spec_embed"),
    (r"encoder\.pos_conv\.0\.bias", f"{POSITIONS}.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", f"{POSITIONS}.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v", f"{POSITIONS}.parametrizations.weight.original1"),
    (rf"encoder\.layer_norm{ENDS}", r"encoder.layer_norm.\1"),
    (rf"{LAYER}\.self_attn\.([qkv]_proj|out_proj){ENDS}", r"encoder.layers.\1.attention.\2.\3"),
    (rf"{LAYER}\.self_attn_layer_norm{ENDS}", r"encoder.layers.\1.layer_norm.\2"),
    (rf"{LAYER}\.fc1{ENDS}", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (rf"{LAYER}\.fc2{ENDS}", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (rf"{LAYER}\.final_layer_norm{ENDS}", r"encoder.layers.\1.final_layer_norm.\2"),
    (
        rf"{CONVOLUTION}\.(\d+)\.0{ENDS}",
        r"feature_extractor.conv_layers.\1.conv.\2",
    ),
    (
        rf"{CONVOLUTION}\.(\d+)\.2\.1{ENDS}",
        r"feature_extractor.conv_layers.\1.layer_norm.\2",
    ),
    (
        rf"{CONVOLUTION}\.0\.2{ENDS}",
        r"feature_extractor.conv_layers.0.layer_norm.\1",
    ),
]
"""Fairseq's names, after the prefix, and those of transformers."""

STRIDES = (5, 2, 2, 2, 2, 2, 2)
"""Of the convolutions of every published one; weights do not tell them."""

README = """# An encoder of AntiDeepfake

Converted from the weights of https://github.com/nii-yamagishilab/AntiDeepfake, which are under
CC BY-NC-SA 4.0 (LICENSE-CHECKPOINT there).

It was post-trained on ASVspoof 2019 LA (train, eval), 2021 LA and DF, ASVspoof 5 (train, test),
SpoofCeleb, MLAAD, WaveFake, Codecfake, CodecFake, DFADD, DECRO, CFAD, CVoiceFake, HABLA, DSD,
DiffSSD and others (protocols/README.md there). Figures on these sets are not comparable with those
of systems that have not heard them. In-the-Wild, Deepfake-Eval-2024, ADD 2023, Fake-or-Real and
DEEP-VOICE are not among them.
"""


def convert(source: Path, folder: Path) -> str:
    """Write an encoder of AntiDeepfake as a foundation model for `pretrain: {kind: folder}`.

    Args:
        source: folder with model.safetensors, as published.
        folder: must not exist.

    Returns:
        what it is, in a few words.

    Raises:
        MixframeError: there are pickled weights only, tensors are missing or unknown (they are
            named), or shapes are not those of such an encoder.
    """
    tensors = _encoder_tensors(source)
    with new_folder(folder) as temporary:
        config = config_of(tensors, f"{source / WEIGHTS}")
        model = _unfilled(config, source / WEIGHTS)
        _load(model, _renamed(tensors, source / WEIGHTS), source / WEIGHTS)
        preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
        backbones.save(backbones.wrap(model, preprocessor), temporary, preprocessor)
        write_text(temporary / "README.md", README)
    size = sum(p.numel() for p in model.parameters())
    return (
        f"{config.model_type}, {config.num_hidden_layers} layers of width {config.hidden_size}, "
        f"{size:,} parameters"
    )


def _encoder_tensors(source: Path) -> dict[str, Tensor]:
    """Return the encoder's tensors by fairseq's name, those of its pre-training too."""
    path = source / WEIGHTS
    pickled = [source] if source.suffix in PICKLES else []
    if source.is_dir():
        pickled = sorted(p for p in source.iterdir() if p.suffix in PICKLES)
    if not path.is_file() and pickled:
        raise MixframeError(
            f"{pickled[0]}: a pickled file, which could run code when it is read; take the "
            f"{WEIGHTS} that is published beside it"
        )
    try:
        tensors = load_tensors(path, "")
    except SafetensorError as error:
        raise MixframeError(f"{path}: not safetensors: {error}") from error
    foreign = sorted(k for k in tensors if not k.startswith(PREFIX) and k not in HEAD)
    if foreign:
        raise MixframeError(
            f"{path}: unknown tensors {_few(foreign)}; those of AntiDeepfake are {PREFIX}* and "
            f"{', '.join(sorted(HEAD))}"
        )
    return {k.removeprefix(PREFIX): v for k, v in tensors.items() if k not in HEAD}


def config_of(tensors: dict[str, Tensor], where: str) -> PretrainedConfig:
    """Return the configuration that the shapes of an encoder's tensors tell.

    The small model is the one with group norm in its first convolution, 12 heads and no layer norm
    before its blocks; all others have 16 heads, and layer norm throughout.

    Args:
        tensors: by fairseq's name.

    Raises:
        MixframeError: a tensor that tells something is missing, empty, or of other dimensions.
    """

    def shape(name: str, dimensions: int) -> torch.Size:
        if name not in tensors:
            raise MixframeError(f"{where}: {PREFIX}{name} is missing")
        sizes = tensors[name].shape
        if len(sizes) != dimensions or 0 in sizes:
            raise MixframeError(
                f"{where}: {PREFIX}{name} has shape {tuple(sizes)}, expected {dimensions} sizes "
                "above 0"
            )
        return sizes

    width = shape("post_extract_proj.weight", 2)[0]
    grouped = "feature_extractor.conv_layers.0.2.weight" in tensors
    convolutions = [shape(f"feature_extractor.conv_layers.{i}.0.weight", 3) for i in range(7)]
    layers = {match[1] for match in (re.match(LAYER, name) for name in tensors) if match}
    _, group_width, kernel = shape("encoder.pos_conv.0.weight_v", 3)
    kind = HubertConfig if HUBERT in tensors else Wav2Vec2Config
    return kind(
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=12 if grouped else 16,
        intermediate_size=shape("encoder.layers.0.fc1.weight", 2)[0],
        conv_dim=[c[0] for c in convolutions],
        conv_kernel=[c[2] for c in convolutions],
        conv_stride=list(STRIDES),
        conv_bias="feature_extractor.conv_layers.0.0.bias" in tensors,
        feat_extract_norm="group" if grouped else "layer",
        do_stable_layer_norm=not grouped,
        num_conv_pos_embeddings=kernel,
        num_conv_pos_embedding_groups=width // group_width,
    )


def _unfilled(config: PretrainedConfig, path: Path) -> PreTrainedModel:
    """Return the model of a configuration without memory for its weights: shapes can be any."""
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModel.from_config(config)
    # What torch and transformers raise depends on the shape that does not fit.
    except Exception as error:
        raise MixframeError(f"{path}: no encoder has such shapes ({first_line(error)})") from error
    return model


def _renamed(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors of the encoder itself by the names of transformers."""
    renamed, unknown = {}, []
    for name in sorted(set(tensors) - UNUSED):
        for pattern, replacement in RENAMED:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[match.expand(replacement)] = tensors[name].float()
                break
        else:
            unknown.append(f"{PREFIX}{name}")
    if unknown:
        raise MixframeError(f"{path}: unknown tensors {_few(unknown)}")
    return renamed


def _load(model: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights, naming those that are missing, left over or of another shape."""
    wanted = model.state_dict()
    missing, left = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or left:
        raise MixframeError(
            f"{path}: missing for transformers' encoder: {_few(missing) or 'nothing'}; "
            f"left over: {_few(left) or 'nothing'}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise MixframeError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(wanted[name].shape)}"
            )
    model.load_state_dict(tensors, assign=True)


def _few(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
