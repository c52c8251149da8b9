"""A whole detector as TorchScript: one file that scores with torch alone."""

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.outputs import check_outputs
from mixframe.bundle.detector import Detector
from mixframe.models.detector import BONAFIDE, SPOOF
from mixframe.models.detector import Detector as Network
from mixframe.training.data import normalise

EXAMPLE = 16_000
"""Samples of the utterance that is traced; the graph takes any number of them."""


class _Network(nn.Module):
    """Encoder and head, without the masks of padded batches."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, waves: Tensor) -> Tensor:
        """Map (1, n) samples, scaled as the encoder wants them, to (1,) scores."""
        backbone = self.network.backbone
        out = backbone.model(waves, attention_mask=None, output_hidden_states=True)
        layers = [*out.hidden_states[: backbone.n_layers], out.last_hidden_state]
        heard = layers if self.network.head.all_layers else layers[-1:]
        mask = torch.ones(layers[-1].shape[:2], dtype=torch.bool, device=waves.device)
        logits = self.network.head(heard, mask)
        return logits[:, BONAFIDE] - logits[:, SPOOF]


class _Whole(nn.Module):
    """From the samples of an utterance to its score."""

    def __init__(
        self, network: nn.Module, longest: int, shortest: int, tile: bool, scale: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.longest, self.shortest, self.tile, self.scale = longest, shortest, tile, scale

    def forward(self, wave: Tensor) -> Tensor:
        """Map (n,) float32 samples at 16 kHz to a score; higher = more bona fide."""
        if wave.dim() != 1 or wave.size(0) < self.shortest:
            raise ValueError("expected (n,) samples at 16 kHz, at least those of one frame")
        heard = wave[: self.longest]
        if self.tile:
            copies = (self.longest + heard.size(0) - 1) // heard.size(0)
            heard = heard.repeat(copies)[: self.longest]
        if self.scale:
            heard = normalise(heard)
        return self.network(heard[None])[0]


def check_new(path: Path) -> None:
    """Check that a new file can be made.

    Raises:
        MixframeError: it is there already, or cannot be made at its place.
    """
    if os.path.lexists(path):
        raise MixframeError(f"{path}: is there already; give the name of a new file")
    check_outputs([path])


def write_script(folder: Path, path: Path) -> None:
    """Write the detector of a bundle as TorchScript.

    `torch.jit.load(path)(wave)` maps (n,) float32 samples at 16 kHz to the score of
    `Detector.score`; unlike a bundle the file holds code, so load it from people you trust only.

    Raises:
        MixframeError: the file is there already or cannot be made, the bundle is not whole, or its
            system is not an encoder with a head.
    """
    check_new(path)
    detector = Detector.load(folder, device="cpu")
    network = detector.network
    if not isinstance(network, Network):
        raise MixframeError(
            f"{folder}: {detector.contents.name} is of kind {detector.contents.system.kind}; "
            "only an encoder with a head becomes TorchScript"
        )
    network.requires_grad_(False)
    with warnings.catch_warnings(), torch.no_grad():
        # That tracing fixes Python's numbers, and that it is no longer developed.
        warnings.simplefilter("ignore")
        # What always hears one length is traced at that length, others at any.
        length = detector.max_samples if detector.tiles else EXAMPLE
        traced = torch.jit.trace(
            _Network(network).eval(), torch.zeros(1, length), check_trace=False
        )
        whole = torch.jit.script(
            _Whole(
                traced,
                detector.max_samples,
                detector.min_samples,
                detector.tiles,
                network.backbone.normalise,
            )
        )
        with atomic_path(path) as temporary:
            torch.jit.save(whole, temporary)
