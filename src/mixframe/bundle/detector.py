"""A trained system in memory, loaded from its bundle: waveforms in, scores out."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from torch import Tensor, nn

from mixframe.audio.frames import FrameGrid
from mixframe.audio.io import SAMPLE_RATE, AudioRef, Waveform, rate_problem, resample
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.tensors import load_tensors
from mixframe.bundle.contents import CLASSIFIER, ENCODER, Contents, read_contents
from mixframe.models import backbone as backbones
from mixframe.models.backbone import Backbone
from mixframe.models.detector import ADAPTER, HEAD
from mixframe.models.detector import Detector as Network
from mixframe.models.frame_head import FrameDetector
from mixframe.models.localiser import Localiser, frame_classifier
from mixframe.training.data import pad
from mixframe.training.scoring import Window, window
from mixframe.training.systems.frames import Frames
from mixframe.training.systems.lfcc import Lfcc
from mixframe.training.systems.localiser import FrameSystem
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work

FRAMELESS = "the bundle has no frame classifier of its encoder"


@dataclass(frozen=True)
class _Frames:
    """What judges frames.

    Attributes:
        backbone: the encoder underneath.
        logits: maps (1, N) waveforms and (1,) lengths to (1, T) logits; above 0 = injected.
    """

    backbone: Backbone
    logits: Callable[[Tensor, Tensor], Tensor]


class Detector:
    """Scores utterances with the system of a bundle; see `load`.

    Several threads may use one. Nothing but rounding depends on the number of torch's threads.

    Attributes:
        contents: what bundle.json says.
        max_samples: of an utterance at 16 kHz that are heard; of longer ones the first part is.
        min_samples: fewest samples at 16 kHz that can be scored: those that make one frame.
        tiles: whether shorter utterances are repeated up to `max_samples`.
        network: encoder and head; None for an LFCC system.
    """

    def __init__(self, contents: Contents, folder: Path, device: torch.device) -> None:
        """Build the networks from files that were checked."""
        self.contents = contents
        self.device = device
        self.network: Network | Localiser | None = None
        self._frames: _Frames | None = None
        system = contents.system
        if isinstance(system, Lfcc):
            heard = Window(1, int(contents.score.max_seconds * SAMPLE_RATE), tile=False)
            self.min_samples = system.n_fft
            self._judge = _mixtures(contents, system, folder)
        else:
            heard = self._build(system, folder)
            self._judge = self._network_score
        self.max_samples = heard.samples
        self.tiles = heard.tile

    @classmethod
    def load(cls, folder: Path | str, device: str = "auto") -> "Detector":
        """Load a bundle.

        Args:
            folder: as `mixframe export` writes it.
            device: cpu, cuda, or auto for the GPU where there is one.

        Raises:
            MixframeError: there is no GPU; or the bundle is not whole: a file is missing, damaged
                or has another sha256, or the format is a newer one.
        """
        folder = Path(folder)
        on = _device(device)
        contents = read_contents(folder)
        try:
            # Networks are drawn before their weights are read; the caller's numbers stay his.
            with torch.random.fork_rng(devices=[]):
                return cls(contents, folder, on)
        except (SafetensorError, RuntimeError, OSError, KeyError, ValueError) as error:
            said = str(error).strip().splitlines()[0]
            raise MixframeError(
                f"{folder}: its files do not make the system of bundle.json: {said}"
            ) from error

    def score(self, wave: ArrayLike, rate: int = SAMPLE_RATE) -> float:
        """Return the countermeasure score of an utterance; higher = more bona fide.

        It is what `mixframe score` gives the same samples.

        Args:
            wave: (n,) or (n, channels) floating samples, full scale at 1; channels are averaged.
            rate: in Hz; other rates than 16 kHz are resampled as files are.

        Raises:
            MixframeError: not such samples, not finite, or fewer than `min_samples` at 16 kHz.
        """
        heard = self._checked(wave, rate)[: self.max_samples]
        return self._judge(np.resize(heard, self.max_samples) if self.tiles else heard)

    def llr(self, score: float) -> float | None:
        """Return the calibrated natural log-likelihood ratio of bona fide to spoof of a score.

        None where the bundle has no calibration.
        """
        given = self.contents.calibration
        return None if given is None else float(given.llr(score))

    @property
    def has_frames(self) -> bool:
        """Whether `frames` can say where something was injected."""
        return self._frames is not None

    def frames(self, wave: ArrayLike, rate: int = SAMPLE_RATE) -> np.ndarray:
        """Return a logit for each frame of all of the samples.

        Args:
            wave, rate: as for `score`.

        Returns:
            (T,) float32; higher = more likely injected. `contents.frames` makes decisions of them:
            frames whose `evidence` is at `cut` or above count as injected.

        Raises:
            MixframeError: as `score`, or the bundle has no frame classifier.
        """
        if self._frames is None:
            raise MixframeError(f"{self.contents.name}: {FRAMELESS}")
        samples = self._checked(wave, rate)
        backbone = self._frames.backbone
        waves, lengths = pad([samples], backbone)
        with torch.inference_mode():
            logits = self._frames.logits(waves.to(self.device), lengths.to(self.device))
            return logits[0].float().cpu().numpy()

    def frame_times(self, n_frames: int) -> np.ndarray:
        """Return (n_frames, 2) float64 seconds: from where to where each frame counts.

        That is a hop around the middle of the samples that the frame sees, so that frames are
        neighbours without overlap.

        Raises:
            MixframeError: the bundle has no frame classifier.
        """
        if self._frames is None:
            raise MixframeError(f"{self.contents.name}: {FRAMELESS}")
        grid = self._frames.backbone.grid
        starts = np.arange(n_frames) * grid.hop + (grid.receptive_field - grid.hop) / 2
        return np.stack([starts, starts + grid.hop], axis=1) / SAMPLE_RATE

    @property
    def grid(self) -> FrameGrid | None:
        """Samples to frames of the encoder; None where there is no encoder."""
        return None if self.network is None else self.network.backbone.grid

    def _build(self, system: Any, folder: Path) -> Window:
        """Load encoder, adapters, head and frame classifier; return what is heard."""
        contents = self.contents
        backbone = backbones.load(folder / ENCODER, contents.encoder)
        self.min_samples = backbone.grid.receptive_field
        if contents.frames is not None and not isinstance(system, Frames):
            self._frames = _classified(backbone, folder, self.device)
        if isinstance(system, FrameSystem):
            judge = frame_classifier(folder / HEAD, "", backbone.dim)
            self.network = Localiser(backbone, judge, system.share)
            heard = Window(1, int(contents.score.max_seconds * SAMPLE_RATE), tile=False)
        elif isinstance(system, Neural):
            self.network = _trained(contents, system, backbone, folder)
            heard = window(system, contents.score)
        else:
            raise MixframeError(f"{folder}: no bundle can be heard with a system {system.kind!r}")
        self.network.to(self.device).eval()
        if contents.frames is not None and isinstance(self.network, FrameDetector):
            self._frames = _Frames(backbone, self.network.frame_logits)
        return heard

    def _network_score(self, wave: Waveform) -> float:
        assert self.network is not None
        waves, lengths = pad([wave], self.network.backbone)
        with torch.inference_mode():
            return float(self.network.score(waves.to(self.device), lengths.to(self.device))[0])

    def _checked(self, wave: ArrayLike, rate: int) -> Waveform:
        """Return (n,) float32 samples at 16 kHz."""
        given = np.asarray(wave)
        if not np.issubdtype(given.dtype, np.floating) or given.ndim not in (1, 2):
            raise MixframeError(
                f"samples of type {given.dtype} and shape {given.shape}: expected (n,) or "
                "(n, channels) floating samples, full scale at 1"
            )
        samples = given.astype(np.float32)
        mono = samples.mean(axis=1) if samples.ndim == 2 else samples
        if not np.isfinite(mono).all():
            raise MixframeError("audio has samples that are not finite")
        if problem := rate_problem(rate):
            raise MixframeError(f"rate = {problem}")
        mono = mono if rate == SAMPLE_RATE else resample(mono, rate)
        if mono.size < self.min_samples:
            raise MixframeError(
                f"{mono.size} samples at 16 kHz: fewer than the {self.min_samples} that make a "
                "frame"
            )
        return mono


def _device(name: str) -> torch.device:
    cuda = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda"):
        raise MixframeError(f"device = {name!r}: expected auto, cpu or cuda")
    if name == "cuda" and not cuda:
        raise MixframeError("device = 'cuda': torch sees no GPU; choose auto or cpu")
    return torch.device("cuda" if cuda and name != "cpu" else "cpu")


def _trained(contents: Contents, system: Neural, backbone: Backbone, folder: Path) -> Network:
    """Return the detector; what is trained of the encoder itself is in the backbone already."""
    make = FrameDetector if isinstance(system, Frames) else Network
    network = make(backbone, system.adapter, system.head, contents.seed)
    if network.peft is not None:
        from peft import set_peft_model_state_dict

        weights = load_tensors(folder / ADAPTER, "")
        result: Any = set_peft_model_state_dict(network.peft, weights)
        astray = [*result.unexpected_keys, *(k for k in result.missing_keys if "lora_" in k)]
        if astray:
            raise MixframeError(f"{folder / ADAPTER}: {astray[0]} is missing or has no place")
    network.head.load_state_dict(load_tensors(folder / HEAD, ""))
    return network


def _classified(backbone: Backbone, folder: Path, device: torch.device) -> _Frames:
    """Return the frame classifier on the encoder as it is before adapters go into it."""
    plain = _without_adapters(backbone)
    classifier = frame_classifier(folder / CLASSIFIER, "", plain.dim)
    for module in (plain.model, classifier):
        nn.Module.to(module, device).eval()

    def logits(waves: Tensor, lengths: Tensor) -> Tensor:
        return classifier(backbones.encode(plain, waves, lengths, all_layers=False)[0])

    return _Frames(plain, logits)


def _without_adapters(backbone: Backbone) -> Backbone:
    """Return the encoder as it is before adapters go into it; both share their weights."""
    model: nn.Module = backbone.model
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    plain: Any = copy.deepcopy(model, shared)
    return Backbone(plain, backbone.grid, backbone.normalise, backbone.masks_padding)


def _mixtures(contents: Contents, system: Lfcc, folder: Path) -> Callable[[Waveform], float]:
    """Return what scores with the mixtures of an LFCC system."""
    compute = Compute(
        device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned"
    )
    work = Work(None, contents.encoder, contents.score, compute, contents.seed, "")
    score = system.scorer(work, folder)
    return lambda wave: float(score([AudioRef("")], [wave.size], lambda _, start, n: wave)[0])
