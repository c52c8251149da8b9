"""Speech foundation models of the wav2vec 2.0 family, whatever their name.

A foundation model is a folder as `save_pretrained` writes it: config.json, model.safetensors and
preprocessor_config.json. Anything `transformers.AutoModel` loads is accepted if its configuration
has the convolution kernels and strides of a wav2vec 2.0 front end.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, HubertConfig, PretrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from mixframe.errors import MixframeError
from mixframe.files import need_file, read_json, write_json
from mixframe.frames import FrameGrid
from mixframe.layout import FOUNDATION_FILES as FILES
from mixframe.params import Architecture, Encoder
from mixframe.tensors import save_tensors

disable_progress_bar()


@dataclass(frozen=True)
class Backbone:
    """An encoder and what its users must know about it.

    Attributes:
        model: takes input_values (B, N) float32 and attention_mask (B, N), gives
            last_hidden_state (B, T, D) and, asked, hidden_states: n_layers + 1 times (B, T, D).
        grid: samples to frames.
        normalise: whether each utterance is scaled to zero mean and unit variance beforehand, as
            the model's own feature extractor says.
        masks_padding: whether padding leaves valid frames unchanged, given an attention mask. It
            does not where the front end normalises over time (feat_extract_norm "group").
    """

    model: PreTrainedModel
    grid: FrameGrid
    normalise: bool
    masks_padding: bool

    @property
    def dim(self) -> int:
        """Width D of a frame representation."""
        return int(self.model.config.hidden_size)

    @property
    def n_layers(self) -> int:
        """Transformer layers."""
        return int(self.model.config.num_hidden_layers)


def new_config(architecture: Architecture) -> HubertConfig:
    """Return the configuration of a HuBERT encoder with layer norm throughout, nothing random on.

    Layer norm in the front end and before each block is XLS-R's and WavLM-Large's layout, in which
    padding with a mask leaves valid frames unchanged.
    """
    a = architecture
    return HubertConfig(
        hidden_size=a.hidden,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        intermediate_size=a.feed_forward,
        conv_dim=[a.conv_dim] * len(a.conv_kernels),
        conv_kernel=list(a.conv_kernels),
        conv_stride=list(a.conv_strides),
        num_conv_pos_embeddings=a.position_kernel,
        num_conv_pos_embedding_groups=a.position_groups,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        **_switches(0.0),
    )


def _switches(dropout: float) -> dict[str, Any]:
    """Return configuration values that leave nothing random but this dropout."""
    return {
        "layerdrop": 0.0,
        "hidden_dropout": dropout,
        "attention_dropout": dropout,
        "activation_dropout": dropout,
        "feat_proj_dropout": dropout,
        "final_dropout": dropout,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "apply_spec_augment": False,
    }


def grid_of(config: PretrainedConfig | dict[str, Any]) -> FrameGrid:
    """Return the frame grid of a model configuration.

    Raises:
        MixframeError: the model has no wav2vec 2.0-style front end.
    """
    values = config if isinstance(config, dict) else config.to_dict()
    if not values.get("conv_kernel") or not values.get("conv_stride"):
        raise MixframeError(
            f"model type '{values.get('model_type')}' has no conv_kernel and conv_stride: "
            "only encoders with a wav2vec 2.0-style convolution front end can be used"
        )
    return FrameGrid(tuple(values["conv_kernel"]), tuple(values["conv_stride"]))


def wrap(model: PreTrainedModel, preprocessor: dict[str, Any]) -> Backbone:
    """Describe a model to its users; `preprocessor` is the content of preprocessor_config.json."""
    return Backbone(
        model,
        grid_of(model.config),
        bool(preprocessor.get("do_normalize", False)),
        model.config.feat_extract_norm == "layer",
    )


def load(folder: Path, options: Encoder, random_seed: int | None = None) -> Backbone:
    """Load a foundation or post-trained model.

    Args:
        options: dropout; layerdrop and SpecAugment are switched off.
        random_seed: if given, keep the architecture and draw fresh weights from this seed.

    Raises:
        MixframeError: a file is missing, the architecture is not supported, or a weight is missing
            or left over.
    """
    for name in FILES:
        if random_seed is None or name != "model.safetensors":
            need_file(folder / name, "pretrain")
    config = AutoConfig.from_pretrained(folder, local_files_only=True, **_switches(options.dropout))
    preprocessor = read_json(folder / "preprocessor_config.json")
    grid_of(config)
    if random_seed is not None:
        torch.manual_seed(random_seed)
        return wrap(AutoModel.from_config(config), preprocessor)
    model, report = AutoModel.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    bad = sorted(report["missing_keys"]) or sorted(report["mismatched_keys"])
    if bad:
        raise MixframeError(
            f"{folder / 'model.safetensors'}: {len(bad)} weights of the architecture in "
            f"config.json are missing or have another shape, {bad[0]} for one"
        )
    return wrap(model, preprocessor)


def save(backbone: Backbone, folder: Path, preprocessor: dict[str, Any]) -> None:
    """Write the three files that `load` and `AutoModel.from_pretrained` read, each whole."""
    config = backbone.model.config.to_dict()
    config.pop("_name_or_path", None)
    config.pop("_attn_implementation_autoset", None)
    config["architectures"] = [type(backbone.model).__name__]
    config["dtype"] = "float32"
    write_json(folder / "config.json", dict(sorted(config.items())))
    write_json(folder / "preprocessor_config.json", dict(sorted(preprocessor.items())))
    save_tensors(backbone.model.state_dict(), folder / "model.safetensors")


def preprocessor_config(normalise: bool, rate: int) -> dict[str, Any]:
    """Return what preprocessor_config.json holds for a model trained here."""
    return {
        "do_normalize": normalise,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0,
        "return_attention_mask": True,
        "sampling_rate": rate,
    }


def freeze_convolutions(backbone: Backbone) -> None:
    """Exclude the convolution front end from training, as is usual for these models."""
    front: Any = backbone.model.feature_extractor
    front._freeze_parameters()


def frame_mask(grid: FrameGrid, lengths: Tensor, n_frames: int) -> Tensor:
    """Return (B, n_frames) bool, true where a frame lies within its utterance.

    Args:
        lengths: (B,) samples of each utterance.
    """
    valid = torch.tensor([grid.n_frames(int(n)) for n in lengths], device=lengths.device)
    return torch.arange(n_frames, device=lengths.device)[None] < valid[:, None]


def encode(backbone: Backbone, waves: Tensor, lengths: Tensor, all_layers: bool) -> list[Tensor]:
    """Run the encoder on a padded batch.

    Args:
        waves: (B, N) float32, zero behind each utterance's end.
        lengths: (B,) int64 samples.
        all_layers: whether to return every layer or the last one only.

    Returns:
        (B, T, D) tensors: the input of the first block and the output of each, or the last output.

    Raises:
        MixframeError: lengths differ and this encoder's front end normalises over time.
    """
    attention = None
    if backbone.masks_padding:
        attention = (
            torch.arange(waves.shape[1], device=waves.device)[None] < lengths[:, None]
        ).long()
    elif int(lengths.min()) != int(lengths.max()):
        raise MixframeError(
            "this encoder normalises its front end over time (feat_extract_norm 'group'): "
            "a batch must hold utterances of one length"
        )
    out = backbone.model(waves, attention_mask=attention, output_hidden_states=all_layers)
    if not all_layers:
        return [out.last_hidden_state]
    # Where the encoder ends in a layer norm, the last hidden state has passed it.
    return [*out.hidden_states[: backbone.n_layers], out.last_hidden_state]
