"""Speech foundation models of the wav2vec 2.0 family, whatever their name.

A foundation model is a folder as `save_pretrained` writes it: config.json, model.safetensors and
preprocessor_config.json. Anything `transformers.AutoModel` loads is accepted if its configuration
has the convolution kernels and strides of a wav2vec 2.0 front end.
"""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    HubertConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.wavlm.modeling_wavlm import WavLMAttention
from transformers.utils.logging import disable_progress_bar

from mixframe.audio.frames import FrameGrid, grid_from
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object, write_json
from mixframe.base.tensors import first_line, save_tensors
from mixframe.models.front_end import keep_narrow_groups_in_fp32, put_channels_last
from mixframe.models.params import ENCODER_FILES, Architecture, Encoder, LowerPart

disable_progress_bar()

SDPA = "sdpa_padded"
"""The library's `sdpa`, which does not look into a mask for padding: a GPU would be waited for."""


def _mask_as_given(*args: Any, allow_is_bidirectional_skip: bool, **kwargs: Any) -> Tensor | None:
    """Build the mask of scaled-dot-product attention, or none where no mask is given."""
    skip = allow_is_bidirectional_skip and kwargs.get("attention_mask") is None
    return sdpa_mask(*args, **{**kwargs, "allow_is_bidirectional_skip": skip})


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend as the library does; in bf16 on a CPU by way of fp32.

    There torch's backward pass through attention in bf16 takes twice as long as that in fp32.
    """
    if not (query.device.type == "cpu" and query.dtype == torch.bfloat16):
        return sdpa_attention_forward(module, query, key, value, *args, **kwargs)
    with torch.autocast("cpu", enabled=False):
        wide = query.float(), key.float(), value.float()
        mixed, _ = sdpa_attention_forward(module, *wide, *args, **kwargs)
    return mixed.to(query.dtype), None


AttentionInterface.register(SDPA, _attend)
AttentionMaskInterface.register(SDPA, _mask_as_given)


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
            does not where the front end normalises over time (feat_extract_norm "group"); there
            utterances of different lengths are encoded one length after another.
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
        **switches(0.0),
    )


def switches(dropout: float) -> dict[str, Any]:
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


def grid_of(config: PretrainedConfig | dict[str, Any], where: str = "the encoder") -> FrameGrid:
    """Return the frame grid of a model configuration; `where` it is from, for messages.

    Raises:
        MixframeError: the model has no wav2vec 2.0-style front end.
    """
    values = config if isinstance(config, dict) else config.to_dict()
    return grid_from(values, where)


class CalledAttention(WavLMAttention):
    """WavLM's attention, calling its projections.

    transformers hands the weights of q_proj, k_proj, v_proj and out_proj to a function and never
    calls the modules, so that adapters on them would have no effect and get no gradient.
    """

    def torch_multi_head_self_attention(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        gated_position_bias: Tensor,
    ) -> tuple[Tensor, None]:
        """Attend like the method it replaces; attention weights are not returned.

        Args:
            hidden_states: (B, T, D).
            attention_mask: (B, T), 1 where a frame is valid.
            gated_position_bias: (B * heads, T, T), added to the logits.
        """
        batch, frames, width = hidden_states.shape
        query, key, value = (
            project(hidden_states).view(batch, frames, self.num_heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias = gated_position_bias.view(batch, self.num_heads, frames, frames).to(query.dtype)
        if attention_mask is not None:
            invalid = attention_mask[:, None, None, :].ne(1)
            bias = bias.masked_fill(invalid, torch.finfo(bias.dtype).min)
        dropout = self.dropout if self.training else 0.0
        mixed = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout
        )
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, frames, width)), None


def wrap(model: PreTrainedModel, preprocessor: dict[str, Any]) -> Backbone:
    """Describe a model to its users; `preprocessor` is the content of preprocessor_config.json."""
    put_channels_last(model.feature_extractor)
    keep_narrow_groups_in_fp32(model)
    for module in model.modules():
        if type(module) is WavLMAttention:
            module.__class__ = CalledAttention
    if model.config._attn_implementation == "sdpa":
        model.config._attn_implementation = SDPA
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
    for name in ENCODER_FILES:
        if random_seed is None or name != "model.safetensors":
            need_file(folder / name, "pretrain")
    config = read_config(folder, **switches(options.dropout))
    preprocessor = read_object(folder / "preprocessor_config.json")
    grid_of(config, str(folder / "config.json"))
    if random_seed is not None:
        torch.manual_seed(random_seed)
        return wrap(AutoModel.from_config(config), preprocessor)
    weights = folder / "model.safetensors"
    return wrap(_pretrained(folder, config, weights, use_safetensors=True), preprocessor)


def read_config(folder: Path, **switches: Any) -> PretrainedConfig:
    """Read config.json with these values in the place of its own.

    Raises:
        MixframeError: the file is missing, or transformers can make no configuration of it.
    """
    path = folder / "config.json"
    read_object(path)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, **switches)
    # What transformers raises depends on the key that is wrong.
    except Exception as error:
        raise MixframeError(f"{path}: no configuration of a model ({first_line(error)})") from error


def from_pickle(folder: Path, preprocessor: dict[str, Any]) -> Backbone:
    """Load the encoder of a model whose weights are in pytorch_model.bin, running nothing in it.

    Raises:
        MixframeError: the file holds more than tensors, or a weight is missing.
    """
    options = {"use_safetensors": False, "weights_only": True}
    model = _pretrained(folder, read_config(folder), folder / "pytorch_model.bin", **options)
    return wrap(model, preprocessor)


def _pretrained(
    folder: Path, config: PretrainedConfig, weights: Path, **options: Any
) -> PreTrainedModel:
    try:
        model, report = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except MemoryError:
        raise
    except UnpicklingError as error:
        raise MixframeError(
            f"{weights}: holds more than tensors and is not loaded ({first_line(error)})"
        ) from error
    # What transformers and torch raise depends on where a file is cut and what else is in it.
    except Exception as error:
        raise MixframeError(
            f"{weights}: no weights of the encoder in config.json, cut or damaged "
            f"({first_line(error)})"
        ) from error
    bad = sorted(report["missing_keys"]) or sorted(report["mismatched_keys"])
    if bad:
        raise MixframeError(
            f"{folder}: {len(bad)} weights of the architecture in config.json are missing in the "
            f"weight file or have another shape, {bad[0]} for one"
        )
    return model


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


def recompute_layers(model: nn.Module) -> None:
    """Have the encoders in a model keep only the input of each layer for the backward pass."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.activation_checkpointing_enable({"use_reentrant": False})


def freeze(backbone: Backbone, part: LowerPart) -> None:
    """Train the encoder but for a lower part of it, which keeps its weights.

    Raises:
        MixframeError: the encoder has no more than `part` layers.
    """
    model: Any = backbone.model
    model.requires_grad_(True)
    if part == "none":
        return
    # Besides the weights, transformers lets the waveform want a gradient, for checkpointing.
    model.feature_extractor._freeze_parameters()
    if not isinstance(part, int):
        return
    if part >= backbone.n_layers:
        raise MixframeError(
            f"adapter.freeze = {part}: the encoder has {backbone.n_layers} transformer layers, "
            "and at least one must be left to train; {kind: none} trains none of it"
        )
    model.requires_grad_(False)
    model.encoder.layers[part:].requires_grad_(True)
    # Elsewhere this norm comes before the first layer.
    if getattr(model.config, "do_stable_layer_norm", False):
        model.encoder.layer_norm.requires_grad_(True)


def freeze_all(backbone: Backbone) -> None:
    """Exclude the whole encoder from training."""
    model: Any = backbone.model
    model.requires_grad_(False)
    model.feature_extractor._freeze_parameters()


def frame_mask(grid: FrameGrid, lengths: Tensor, n_frames: int) -> Tensor:
    """Return (B, n_frames) bool, true where a frame lies within its utterance.

    Args:
        lengths: (B,) samples of each utterance.
    """
    valid = torch.tensor([grid.n_frames(int(n)) for n in lengths], device=lengths.device)
    return torch.arange(n_frames, device=lengths.device)[None] < valid[:, None]


def padding_mask(backbone: Backbone, waves: Tensor, lengths: Tensor) -> Tensor | None:
    """Return (B, N) int64, 1 where a sample counts; None where every frame does.

    Args:
        waves: (B, N).
        lengths: (B,) samples, on the CPU.
    """
    n_frames, grid = backbone.grid.n_frames(waves.shape[1]), backbone.grid
    if all(grid.n_frames(n) == n_frames for n in lengths.tolist()):
        return None
    samples = torch.arange(waves.shape[1], device=waves.device)
    return (samples[None] < lengths.to(waves.device, non_blocking=True)[:, None]).long()


def encode(backbone: Backbone, waves: Tensor, lengths: Tensor, all_layers: bool) -> list[Tensor]:
    """Run the encoder on a padded batch.

    Args:
        waves: (B, N) float32, zero behind each utterance's end.
        lengths: (B,) int64 samples, on the CPU.
        all_layers: whether to return every layer or the last one only.

    Returns:
        (B, T, D) tensors: the input of the first block and the output of each, or the last output.
        Frames behind an utterance's end have no meaning.
    """
    if backbone.masks_padding:
        return _run(backbone, waves, padding_mask(backbone, waves, lengths), all_layers)
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths.tolist()):
        by_length.setdefault(length, []).append(row)
    if len(by_length) == 1:
        return _run(backbone, waves[:, : int(lengths[0])], None, all_layers)
    n_frames = backbone.grid.n_frames(int(lengths.max()))
    rows: dict[int, list[Tensor]] = {}
    for length, members in by_length.items():
        index = torch.tensor(members).to(waves.device, non_blocking=True)
        layers = _run(backbone, waves[index, :length], None, all_layers)
        for place, row in enumerate(members):
            rows[row] = [layer[place] for layer in layers]
    return [
        torch.stack([_lengthened(rows[row][i], n_frames) for row in range(len(rows))])
        for i in range(len(rows[0]))
    ]


def _lengthened(frames: Tensor, n_frames: int) -> Tensor:
    """Pad (T, D) frames with zeros to (n_frames, D)."""
    return nn.functional.pad(frames, (0, 0, 0, n_frames - len(frames)))


def _run(
    backbone: Backbone, waves: Tensor, attention: Tensor | None, all_layers: bool
) -> list[Tensor]:
    out = backbone.model(waves, attention_mask=attention, output_hidden_states=all_layers)
    if not all_layers:
        return [out.last_hidden_state]
    # Where the encoder ends in a layer norm, the last hidden state has passed it.
    return [*out.hidden_states[: backbone.n_layers], out.last_hidden_state]
