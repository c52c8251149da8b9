"""Foundation models that were published, and how many parameters a system on one has.

The shapes are those of each model's config.json, so that counts need neither network nor memory:
models are built on PyTorch's meta device.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    HubertConfig,
    PretrainedConfig,
    Wav2Vec2Config,
    WavLMConfig,
)

from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Hub
from mixframe.training.params import Foundation, Neural, Scratch


class Published(NamedTuple):
    """A model on the Hugging Face hub.

    Attributes:
        shape: what its config.json sets apart from the class's defaults.
    """

    config: type[PretrainedConfig]
    shape: dict[str, Any]


def _layer_norm(hidden: int, layers: int, feed_forward: int) -> dict[str, Any]:
    """Return the shape of a large model: layer norm in the front end and before each block."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "intermediate_size": feed_forward,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    }


LARGE = _layer_norm(1024, 24, 4096)

PUBLISHED = {
    "facebook/wav2vec2-base": Published(Wav2Vec2Config, {}),
    "facebook/wav2vec2-xls-r-300m": Published(Wav2Vec2Config, LARGE),
    "facebook/wav2vec2-xls-r-1b": Published(Wav2Vec2Config, _layer_norm(1280, 48, 5120)),
    "facebook/wav2vec2-xls-r-2b": Published(Wav2Vec2Config, _layer_norm(1920, 48, 7680)),
    "facebook/mms-300m": Published(Wav2Vec2Config, LARGE),
    "facebook/hubert-large-ll60k": Published(HubertConfig, LARGE),
    "microsoft/wavlm-large": Published(WavLMConfig, LARGE | {"conv_bias": False}),
}


def published_config(name: str) -> PretrainedConfig:
    """Return the configuration of a published model, with nothing random in it.

    Raises:
        MixframeError: not one of those known here.
    """
    if name not in PUBLISHED:
        raise MixframeError(f"{name}: unknown shape; known are {', '.join(PUBLISHED)}")
    model = PUBLISHED[name]
    return model.config(**model.shape, **backbones.switches(0.0))


def foundation_config(foundation: Foundation, files: Layout) -> PretrainedConfig:
    """Return the configuration of a preset's foundation model without fetching it.

    Raises:
        MixframeError: it is neither known, nor in a folder, nor there from an earlier run.
    """
    if isinstance(foundation, Scratch):
        return backbones.new_config(foundation.architecture)
    if isinstance(foundation, Hub) and foundation.name in PUBLISHED:
        return published_config(foundation.name)
    folder = files.foundation if isinstance(foundation, Hub) else Path(foundation.path)
    backbones.grid_of(read_json(folder / "config.json"))
    return AutoConfig.from_pretrained(folder, local_files_only=True, **backbones.switches(0.0))


class Counts(NamedTuple):
    """Parameters of a system: all of them, and those that fine-tuning trains."""

    total: int
    trainable: int


def count(config: PretrainedConfig, params: Neural) -> Counts:
    """Count the parameters of a system.

    Raises:
        MixframeError: the encoder has no module of a name in adapter.targets.
    """
    with torch.device("meta"):
        model = AutoModel.from_config(config)
        detector = Detector(backbones.wrap(model, {}), params, 0)
    sizes = [(p.numel(), p.requires_grad) for p in detector.parameters()]
    return Counts(sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))


def count_all(preset: Preset, files: Layout) -> dict[str, Counts]:
    """Count the parameters of every neural system of a preset's grid."""
    config = foundation_config(preset.pretrain, files)
    systems = {name: preset.finetune[name] for name in preset.grid.system}
    return {n: count(config, s) for n, s in systems.items() if isinstance(s, Neural)}
