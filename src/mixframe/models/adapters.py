"""What is trained of an encoder: its own weights, LoRA adapters, or nothing."""

import warnings
from typing import TYPE_CHECKING

from torch import nn

from mixframe.base.errors import MixframeError
from mixframe.base.imports import importing
from mixframe.models.backbone import Backbone, freeze, freeze_all
from mixframe.models.params import Adapter, Full, Lora

if TYPE_CHECKING:
    from peft import PeftModel


def adapt(backbone: Backbone, adapter: Adapter) -> "PeftModel | None":
    """Make trainable what `adapter` says, and nothing else, in place.

    Returns:
        the encoder with its LoRA adapters; None where there are none.

    Raises:
        MixframeError: the encoder has no module of a name in adapter.targets, or not as many layers
            as adapter.freeze asks for.
    """
    if isinstance(adapter, Full):
        freeze(backbone, adapter.freeze)
        return None
    freeze_all(backbone)
    return _add_lora(backbone.model, adapter) if isinstance(adapter, Lora) else None


def _add_lora(encoder: nn.Module, params: Lora) -> "PeftModel":
    # Fully trained systems have no need for peft, which takes a second to import.
    with importing():
        from peft import LoraConfig, get_peft_model

    names = {name.rsplit(".", 1)[-1] for name, _ in encoder.named_modules()}
    unknown = sorted(set(params.targets) - names)
    if unknown:
        linear = {
            n.rsplit(".", 1)[-1] for n, m in encoder.named_modules() if isinstance(m, nn.Linear)
        }
        raise MixframeError(
            f"adapter.targets = {params.targets}: the encoder has no module {unknown[0]!r}; "
            f"its linear modules are {', '.join(sorted(linear))}"
        )
    config = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        target_modules=sorted(params.targets),
    )
    # The path of the base model would differ from one machine to the next.
    config.base_model_name_or_path = None
    with warnings.catch_warnings():
        # peft asks transformers for an attribute that has been renamed there.
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(encoder, config)
    model.peft_config["default"].base_model_name_or_path = None
    return model
