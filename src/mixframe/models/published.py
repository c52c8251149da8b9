"""Foundation models that were published, and how many parameters a system on one has.

The shapes are those of each model's config.json, so that counts need neither network nor memory:
models are built on PyTorch's meta device.
"""

from typing import Any, NamedTuple

import torch
from transformers import (
    AutoModel,
    HubertConfig,
    PretrainedConfig,
    Wav2Vec2Config,
    WavLMConfig,
)

from mixframe.base.errors import MixframeError
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Adapter, HeadSection


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


class Counts(NamedTuple):
    """Parameters of a system: all of them, and those that fine-tuning trains."""

    total: int
    trainable: int


def count(config: PretrainedConfig, adapter: Adapter, head: HeadSection) -> Counts:
    """Count the parameters of a system.

    Raises:
        MixframeError: the encoder has no module of a name in adapter.targets.
    """
    with torch.device("meta"):
        model = AutoModel.from_config(config)
        detector = Detector(backbones.wrap(model, {}), adapter, head, 0)
    sizes = [(p.numel(), p.requires_grad) for p in detector.parameters()]
    return Counts(sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))
