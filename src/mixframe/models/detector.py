"""The detector: an encoder, perhaps with adapters, under an utterance-level head."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixframe.base.errors import MixframeError
from mixframe.base.files import write_json
from mixframe.base.tensors import load_tensors, save_tensors
from mixframe.models.adapters import adapt
from mixframe.models.backbone import Backbone, encode, frame_mask
from mixframe.models.params import Adapter, HeadSection

SPOOF, BONAFIDE = 0, 1
ADAPTER_CONFIG, ADAPTER, HEAD = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "head.safetensors",
)


class Detector(nn.Module):
    """Scores utterances; a higher score means more bona fide."""

    def __init__(self, backbone: Backbone, adapter: Adapter, head: HeadSection, seed: int) -> None:
        """Put adapters into the encoder and a head on it, their fresh weights drawn from `seed`.

        Raises:
            MixframeError: the encoder has no module of a name in adapter.targets, or not as many
                layers as adapter.freeze asks for.
        """
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = backbone
        self.encoder = backbone.model
        self.peft = adapt(backbone, adapter)
        self.head: Any = head.build(backbone.dim, backbone.n_layers)

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, N) padded waveforms and (B,) lengths in samples to (B, 2) logits.

        Under autocast the head is computed in fp32: half precision would make scores equal, and
        voting heads compare what they multiply.
        """
        layers, mask = self._encoded(waves, lengths)
        with torch.autocast(waves.device.type, enabled=False):
            return self.head([layer.float() for layer in layers], mask)

    def training_logits(self, waves: Tensor, lengths: Tensor) -> list[tuple[float, Tensor]]:
        """Return the (B, 2) logits that training looks at, each with its weight in the loss."""
        return self.head.training_logits(*self._encoded(waves, lengths))

    def chosen(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, T) int64: in how many blocks of a voting head each frame was chosen."""
        return self.head.chosen(*self._encoded(waves, lengths))

    def _encoded(self, waves: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the layers of (B, T, D) that the head wants, and their (B, T) mask."""
        layers = encode(self.backbone, waves, lengths, self.head.all_layers)
        mask = frame_mask(self.backbone.grid, lengths, layers[-1].shape[1])
        return layers, mask.to(waves.device, non_blocking=True)

    def score(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Return (B,) scores: logit of bona fide minus logit of spoof."""
        logits = self(waves, lengths)
        return logits[:, BONAFIDE] - logits[:, SPOOF]

    def merge(self) -> None:
        """Add what adapters have learnt to the encoder's own weights, and take them out of it."""
        if self.peft is not None:
            self.peft.merge_and_unload()
            self.peft = None

    def save(self, folder: Path) -> None:
        """Write what was trained: the adapter in PEFT's format, and the head.

        A fully trained encoder goes whole into the adapter's weight file; without an adapter that
        file holds no tensors.
        """
        config: dict[str, Any] = {"peft_type": None}
        weights: dict[str, Tensor] = {}
        if self.peft is not None:
            from peft import get_peft_model_state_dict

            config = {
                key: sorted(value) if isinstance(value, set) else value
                for key, value in self.peft.peft_config["default"].to_dict().items()
            }
            weights = get_peft_model_state_dict(self.peft)
        elif any(p.requires_grad for p in self.encoder.parameters()):
            weights = self.encoder.state_dict()
        write_json(folder / ADAPTER_CONFIG, dict(sorted(config.items())))
        save_tensors(weights, folder / ADAPTER)
        save_tensors(self.head.state_dict(), folder / HEAD)

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote into a detector of the same parameters.

        Raises:
            MixframeError: a file is missing or its weights do not fit.
        """
        weights = load_tensors(folder / ADAPTER, "finetune")
        try:
            if self.peft is not None:
                from peft import set_peft_model_state_dict

                result: Any = set_peft_model_state_dict(self.peft, weights)
                if result.unexpected_keys:
                    raise MixframeError(
                        f"{folder / ADAPTER}: no place for {result.unexpected_keys[0]}"
                    )
            elif weights:
                self.encoder.load_state_dict(weights)
            self.head.load_state_dict(load_tensors(folder / HEAD, "finetune"))
        except RuntimeError as error:
            raise MixframeError(f"{folder}: the weights do not fit this system: {error}") from error
