"""A detector of spoofed speech for transformers: an encoder, attentive or mean pooling, two logits.

This file goes into the folder that `mixframe export --transformers` writes and needs torch and
transformers alone. It takes samples as they are, mono at 16 kHz, and crops and scales them itself.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MixframeConfig(PretrainedConfig):
    """What the detector is.

    Attributes:
        encoder: configuration of the encoder.
        weighted: whether the head sums all layers; else it hears the last one.
        attention: width of attentive statistics pooling; None for the mean.
        longest: samples of an utterance that are heard; of longer ones the first part is.
        tile: whether shorter utterances are repeated up to `longest`.
        scale: whether what is heard is scaled to zero mean and unit variance.
    """

    model_type = "mixframe"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        weighted: bool = True,
        attention: int | None = None,
        longest: int = 160_000,
        tile: bool = False,
        scale: bool = True,
        **others: Any,
    ) -> None:
        """See the attributes."""
        labels: dict[str, Any] = {"id2label": {0: "spoof", 1: "bonafide"}}
        super().__init__(**{**labels, **others})
        self.encoder = encoder or {"model_type": "wav2vec2"}
        self.weighted, self.attention = weighted, attention
        self.longest, self.tile, self.scale = longest, tile, scale


class Attentive(nn.Module):
    """Attentive statistics pooling (Okabe et al., Interspeech 2018)."""

    def __init__(self, dim: int, hidden: int) -> None:
        """Attend through `hidden` units."""
        super().__init__()
        self.attention = nn.Sequential(
            nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Map (1, T, D) to (1, 2D): mean and standard deviation."""
        weights = torch.softmax(self.attention(frames), dim=1)
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean[:, None]).square()).sum(1)
        return torch.cat([mean, torch.sqrt(variance + 1e-7)], dim=-1)


class Mean(nn.Module):
    """The mean over frames."""

    def forward(self, frames: Tensor) -> Tensor:
        """Map (1, T, D) to (1, D)."""
        return frames.mean(1)


class Head(nn.Module):
    """Weighted sum over layers, pooling over frames, one linear layer."""

    def __init__(self, dim: int, n_layers: int, weighted: bool, attention: int | None) -> None:
        """See `MixframeConfig`."""
        super().__init__()
        if weighted:
            self.layer_weights = nn.Parameter(torch.zeros(n_layers + 1))
        self.pool = Mean() if attention is None else Attentive(dim, attention)
        self.classify = nn.Linear(dim if attention is None else 2 * dim, 2)

    def forward(self, layers: list[Tensor]) -> Tensor:
        """Map layers of (1, T, D) to (1, 2) logits."""
        frames = layers[-1]
        if hasattr(self, "layer_weights"):
            weights = torch.softmax(self.layer_weights, dim=0)
            scaled = [nn.functional.layer_norm(x, x.shape[-1:]) for x in layers]
            frames = torch.stack([w * x for w, x in zip(weights, scaled, strict=True)]).sum(0)
        return self.classify(self.pool(frames))


class MixframeForAudioClassification(PreTrainedModel):
    """Logits of spoof and bona fide; their difference, bona fide minus spoof, is the score."""

    config_class = MixframeConfig
    main_input_name = "input_values"

    def __init__(self, config: MixframeConfig) -> None:
        """Build it with fresh weights."""
        super().__init__(config)
        encoder: Any = AutoModel.from_config(AutoConfig.for_model(**config.encoder))
        self.encoder = encoder
        shape = (encoder.config.hidden_size, encoder.config.num_hidden_layers)
        self.head = Head(*shape, config.weighted, config.attention)
        self.post_init()

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Judge utterances, one by one, so that none depends on another.

        Args:
            input_values: (B, N) float32 samples at 16 kHz, full scale at 1, not scaled.
            attention_mask: (B, N), 1 for samples and 0 for padding behind them.
            labels: (B,) int64 for a loss: 0 spoof, 1 bona fide.

        Returns:
            logits (B, 2): spoof, bona fide.
        """
        lengths = [input_values.shape[1]] * len(input_values)
        if attention_mask is not None:
            lengths = attention_mask.sum(1).tolist()
        logits = torch.cat(
            [self._judge(wave[:length]) for wave, length in zip(input_values, lengths, strict=True)]
        )
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _judge(self, wave: Tensor) -> Tensor:
        """Map (n,) samples to (1, 2) logits."""
        heard = wave[: self.config.longest]
        if self.config.tile:
            copies = -(-self.config.longest // len(heard))
            heard = heard.repeat(copies)[: self.config.longest]
        if self.config.scale:
            heard = (heard - heard.mean()) / torch.sqrt(heard.var(unbiased=False) + 1e-7)
        out = self.encoder(heard[None], output_hidden_states=True)
        # Where the encoder ends in a layer norm, the last hidden state has passed it.
        return self.head([*out.hidden_states[:-1], out.last_hidden_state])
