"""Parameters: params.yaml chooses a preset and a grid, presets/<name>.yaml holds every value.

Each class is a section of a preset. A section named after a stage is what that stage depends on;
`compute` and `title` never change a result and no stage depends on them.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mixframe.corpora import DownloadParams, ProtocolParams
from mixframe.errors import MixframeError
from mixframe.patterns import PATTERNS
from mixframe.section import Range, Section, read_yaml, validate

PRESETS = Path("presets")

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]
LabelChoice = Literal["bonafide", "spoof", "any"]


class Compute(Section):
    """Where and how wide to compute.

    Attributes:
        device: auto takes the GPU if there is one.
        processes: of a training stage or of scoring, on this machine, a GPU each if there are any;
            with several of them sums are added in another order, so results differ by rounding.
        threads: slices of a batch computed at once on a CPU; 0 for all cores.
        workers: processes or threads that prepare data; 0 for all cores.
        keep_utterances: decoded utterances kept in memory while training; 0 keeps none.
    """

    device: Literal["auto", "cpu", "cuda"]
    processes: Positive
    threads: Count
    workers: Count
    keep_utterances: Count

    def resolved(self) -> Self:
        """Return a copy with each process's part of the usable cores in the place of 0."""
        usable = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        cores = max(1, (usable or 1) // self.processes)
        return self.model_copy(
            update={"threads": self.threads or cores, "workers": self.workers or cores}
        )


class Protocol(Section):
    """Stage protocol.

    Attributes:
        shortcut_min_eer: the stage fails if a trivial statistic separates the classes of a set
            with a lower EER than this.
        corpora: how to read each corpus.
    """

    shortcut_min_eer: Share
    corpora: dict[str, ProtocolParams]


class SplicePattern(Section):
    """Where regions lie; see `mixframe.patterns`."""

    name: str
    max_regions: Positive
    min_frames: Positive
    max_frames: Positive
    max_ratio: Annotated[float, Field(gt=0, le=1)]

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PATTERNS:
            raise ValueError(f"input should be {', '.join(repr(n) for n in PATTERNS)}")
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_frames > self.max_frames:
            raise ValueError(f"min_frames {self.min_frames} exceeds max_frames {self.max_frames}")
        return self


class Splice(Section):
    """Stage splice: one policy of making mix-frame splices.

    Attributes:
        set: which set of the manifest base and injector utterances come from.
        base, injector: labels that may serve as base and as injector.
        speaker: whose injectors to take; same and different fall back to any where there is none.
        copies: plan rows for each base utterance.
        clean_share: share of rows left without a splice.
        max_seconds: longer base utterances are cropped at random to this.
        crossfade: samples over which base and injector blend, inside each region's ends; 0 cuts.
        match_gain: scale the injected part to the RMS of the part it replaces.
        max_gain_db: by at most this, so that pauses are not blown up to the level of speech.
    """

    set: str
    base: LabelChoice
    injector: LabelChoice
    speaker: Literal["same", "different", "any"]
    copies: Positive
    clean_share: Share
    max_seconds: Above0
    crossfade: Count
    match_gain: bool
    max_gain_db: Above0
    pattern: SplicePattern


class Train(Section):
    """One training run; `mixframe.training.loop` is its reader.

    Attributes:
        steps: optimiser steps.
        batch: utterances a step.
        slices: equal parts of a batch whose gradients are summed; they bound memory and, on a CPU,
            run on several threads. The number of threads never changes a result, this may.
        lr: peak learning rate of AdamW.
        warmup: steps of linear rise.
        schedule: after the rise: cosine to 0, or constant.
        clip_norm: largest gradient norm; 0 for no clipping.
        evaluate_every: steps between validations.
        checkpoint_every: steps between checkpoints from which a killed run resumes.
        precision: bf16 runs forward passes under autocast.
    """

    steps: Positive
    batch: Positive
    slices: Positive
    lr: Above0
    weight_decay: AtLeast0
    warmup: Count
    schedule: Literal["cosine", "constant"]
    clip_norm: AtLeast0
    evaluate_every: Positive
    checkpoint_every: Positive
    precision: Literal["fp32", "bf16"]

    @property
    def part(self) -> int:
        """Utterances of one slice of a batch: what fits into memory at once."""
        return self.batch // self.slices

    def share(self, processes: int, key: str) -> int:
        """Return how many slices each of several processes computes.

        Raises:
            MixframeError: they cannot have equally many; the message names `key`.
        """
        if self.slices % processes:
            raise MixframeError(
                f"{key}.train.slices = {self.slices} is not a multiple of compute.processes = "
                f"{processes}, which share them"
            )
        return self.slices // processes

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch % self.slices:
            raise ValueError(f"batch {self.batch} is not a multiple of slices {self.slices}")
        return self


class Architecture(Section):
    """A HuBERT-style encoder (Hsu et al., 2021) in the form of `transformers.HubertConfig`."""

    hidden: Positive
    layers: Positive
    heads: Positive
    feed_forward: Positive
    conv_dim: Positive
    conv_kernels: list[Positive]
    conv_strides: list[Positive]
    position_kernel: Positive
    position_groups: Positive


class Targets(Section):
    """Pseudo-labels of masked prediction: k-means clusters of MFCCs with deltas.

    Attributes:
        n_fft: window in samples; equal to the encoder's receptive field it aligns the frames.
        cluster_frames: frames, drawn at random, on which k-means is fitted.
    """

    n_mfcc: Positive
    n_mels: Positive
    n_fft: Positive
    clusters: Positive
    cluster_frames: Positive


class Masking(Section):
    """HuBERT's masking: starts are drawn with `probability`, each masks `length` frames.

    Attributes:
        alpha: weight of masked frames in the loss; 1 - alpha is that of the others.
    """

    probability: Annotated[float, Field(gt=0, lt=1)]
    length: Positive
    alpha: Annotated[float, Field(gt=0, le=1)]


class Scratch(Section):
    """A foundation model trained here, on the bona fide training speech."""

    kind: Literal["scratch"]
    architecture: Architecture
    targets: Targets
    masking: Masking
    crop_seconds: Above0
    train: Train


class Hub(Section):
    """A foundation model from the Hugging Face hub, pinned by commit."""

    kind: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Folder(Section):
    """A foundation model in a local folder, as `save_pretrained` writes it."""

    kind: Literal["folder"]
    path: str


Foundation = Annotated[Scratch | Hub | Folder, Field(discriminator="kind")]


class Encoder(Section):
    """The encoder while it is post-trained or fine-tuned.

    The models' own defaults (layerdrop 0.1, which changes the number of hidden states, and
    SpecAugment) are always off.

    Attributes:
        dropout: of hidden states, attention weights, activations and projected features.
    """

    dropout: Share


class Posttrain(Section):
    """Stage posttrain.

    Attributes:
        objective: frames = MFPT's frame labels; utterance = the base utterance's own label on the
            mean of the frame logits, the control with the same steps and classifier.
        classifier_hidden: width of the frame classifier's hidden layer.
        positive_weight: weight of label-1 frames in the loss.
        localise: sets with known regions whose frames are scored at the end.
    """

    objective: Literal["frames", "utterance"]
    classifier_hidden: Positive
    positive_weight: Above0
    localise: list[str]
    train: Train


class Lora(Section):
    """LoRA adapters (Hu et al., 2022) as `peft.LoraConfig` takes them."""

    kind: Literal["lora"]
    rank: Positive
    alpha: Positive
    dropout: Share
    targets: list[str]


class Full(Section):
    """Every weight of the encoder but its convolutions is trained."""

    kind: Literal["full"]


class Frozen(Section):
    """The encoder stays as it is; only the head is trained."""

    kind: Literal["none"]


Adapter = Annotated[Lora | Full | Frozen, Field(discriminator="kind")]


class PooledHead(Section):
    """Sum over layers, pooling over frames, one linear layer.

    Attributes:
        layers: weighted = softmax-weighted sum of all layers; last = the last one.
        pooling: attentive = attentive statistics (Okabe et al., 2018); mean.
        hidden: width of the attention; unused with mean pooling.
    """

    kind: Literal["pooled"]
    layers: Literal["weighted", "last"]
    pooling: Literal["attentive", "mean"]
    hidden: Positive


class SequenceHead(Section):
    """Blocks over frames behind a class token: `mixframe.models.sequence`.

    Attributes:
        dim: width the encoder's frames are projected to.
        heads: of the attention; they divide dim.
        feed_forward: hidden width of the feed-forwards in units of dim.
        expansion, kernel: width (in units of dim) and length (odd) of a Conformer's convolution.
    """

    kind: Literal["conformer", "transformer"]
    dim: Positive
    blocks: Positive
    heads: Positive
    feed_forward: Positive
    expansion: Positive
    kernel: Positive
    dropout: Share
    positions: Literal["sinusoidal", "none"]

    @property
    def block(self) -> str:
        """conformer or transformer."""
        return self.kind.removesuffix("_fgfm")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} is not an even multiple of heads {self.heads}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is not odd")
        return self


class FineGrainedHead(SequenceHead):
    """The same with voting and refinement: `mixframe.models.fgfm`.

    Attributes:
        votes: frames a head votes for, and frames chosen in a block.
        vote_kernel: smooths the counted votes along time; an odd number of weights.
        refine_blocks, final_blocks: before and after the second vote.
        aggregation_kernel: length of the depthwise convolution of the dynamic aggregation, odd.
        squeeze: dim / squeeze is the width of its excitation.
        auxiliary_weight: of the loss on the class token before refinement.
    """

    kind: Literal["conformer_fgfm", "transformer_fgfm"]  # type: ignore[assignment]
    votes: Positive
    vote_kernel: list[Above0]
    refine_blocks: Positive
    final_blocks: Positive
    aggregation_kernel: Positive
    squeeze: Positive
    auxiliary_weight: AtLeast0

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if len(self.vote_kernel) % 2 == 0:
            raise ValueError(f"vote_kernel {self.vote_kernel} has no middle: its length is even")
        if self.aggregation_kernel % 2 == 0:
            raise ValueError(f"aggregation_kernel {self.aggregation_kernel} is not odd")
        return self


AnyHead = Annotated[PooledHead | SequenceHead | FineGrainedHead, Field(discriminator="kind")]


class NoAugmentation(Section):
    """Training hears the utterances as they are."""

    kind: Literal["none"]


class RawBoost(Section):
    """RawBoost (Tak et al., ICASSP 2022): `mixframe.augmentation`. Ranges are [low, high].

    Attributes:
        algorithm: 1 convolutive, 2 impulsive, 3 stationary noise; 4 = 1 + 2 + 3, 5 = 1 + 2,
            6 = 1 + 3, 7 = 2 + 3 in series; 8 = 1 and 2 side by side, added.
        bands, centre_hz, width_hz, taps, gain_db: of the notch filters; taps are whole numbers.
        harmonics: powers of the signal that are filtered and added.
        harmonic_drop_db: by how much the gain of powers above the first is lower.
        impulse_percent: at most this share of the samples, in percent, gets an impulse.
        impulse_gain: largest impulse in units of the sample it is added to.
        snr_db: of the stationary noise.
    """

    kind: Literal["rawboost"]
    algorithm: Annotated[int, Field(ge=1, le=8)]
    bands: Positive
    centre_hz: Range
    width_hz: Range
    taps: Range
    gain_db: Range
    harmonics: Positive
    harmonic_drop_db: Range
    impulse_percent: Annotated[float, Field(ge=0, le=100)]
    impulse_gain: AtLeast0
    snr_db: Range


Augmentation = Annotated[NoAugmentation | RawBoost, Field(discriminator="kind")]


class Neural(Section):
    """Stage finetune: an encoder with a head.

    Attributes:
        encoder: random (same architecture, fresh weights), foundation, or a key of posttrain.
        crop_seconds: training crops; evaluation uses whole utterances up to score.max_seconds.
        short: keep leaves shorter utterances as they are; tile repeats them up to crop_seconds, and
            then evaluation hears the first crop_seconds of each utterance, tiled as well.
        augment: what training crops go through.
        class_weights: [spoof, bonafide] in the cross-entropy, or auto: inverse to the counts.
        average: the weights are averaged over this many best validations.
        patience: training stops after this many validations without a better one; 0 = never.
    """

    kind: Literal["neural"]
    encoder: str
    adapter: Adapter
    head: AnyHead
    crop_seconds: Above0
    short: Literal["keep", "tile"]
    augment: Augmentation
    class_weights: Literal["auto"] | list[Above0]
    average: Positive
    patience: Count
    train: Train


class Lfcc(Section):
    """Stage finetune, classical row: one Gaussian mixture of LFCCs a class.

    Attributes:
        n_filter, n_lfcc, n_fft, hop: of `torchaudio.transforms.LFCC`; n_fft and hop in samples.
        components: Gaussians a class.
        iterations: most steps of expectation maximisation.
        tolerance: gain in mean log-likelihood below which it stops.
        max_frames: frames a class on which it runs, drawn at random.
    """

    kind: Literal["lfcc"]
    n_filter: Positive
    n_lfcc: Positive
    n_fft: Positive
    hop: Positive
    components: Positive
    iterations: Positive
    tolerance: AtLeast0
    max_frames: Positive


System = Annotated[Neural | Lfcc, Field(discriminator="kind")]


class Score(Section):
    """Stage score.

    Attributes:
        batch: utterances scored at once, of similar length.
        max_seconds: longer utterances are cut to their first part.
    """

    batch: Positive
    max_seconds: Above0


class Vote(Section):
    """Stage vote.

    Attributes:
        sets: sets with known regions whose votes are counted, besides the held-out splices.
    """

    sets: list[str]


class Costs(Section):
    """Detection costs of minDCF and actDCF (ASVspoof 5 evaluation plan)."""

    p_spoof: Annotated[float, Field(gt=0, lt=1)]
    c_miss: Above0
    c_fa: Above0


class Bootstrap(Section):
    """Intervals.

    Attributes:
        unit: what is drawn with replacement: trial, or all trials that share a value of this
            column of the manifest.
    """

    resamples: Positive
    level: Annotated[float, Field(gt=0, lt=1)]
    unit: Literal["trial", "speaker", "prompt"]


class Evaluate(Section):
    """Stage evaluate.

    Attributes:
        segment_iou: overlap from which a predicted segment counts as found.
    """

    costs: Costs
    bootstrap: Bootstrap
    segment_iou: Annotated[float, Field(gt=0, le=1)]


class Report(Section):
    """Stage report.

    Attributes:
        examples: spliced utterances shown with waveform, labels and frame curve.
        localiser: whose frame classifier draws the curves.
    """

    examples: Count
    localiser: str


class Grid(Section):
    """The cells of the experiment; the lists `classical`, `foundation`, `posttrained` and
    `borrowing` say where a system's encoder comes from and together make up `system`.

    Attributes:
        system: rows of the result table, in this order.
        borrowing: systems on the encoder that is post-trained for the system `lender`.
        voting: systems whose head votes for frames; their votes are kept.
        seed: of splice plans and training; each system is trained once with each.
        set: evaluation sets, in this order.
    """

    system: list[str]
    classical: list[str]
    foundation: list[str]
    posttrained: list[str]
    borrowing: list[str]
    lender: str
    voting: list[str]
    seed: Annotated[list[Count], Field(min_length=1)]
    set: list[str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        parts = [*self.classical, *self.foundation, *self.posttrained, *self.borrowing]
        if sorted(parts) != sorted(self.system):
            raise ValueError(
                f"system = {self.system} must list exactly the systems of classical, foundation, "
                f"posttrained and borrowing = {parts}"
            )
        if self.borrowing and self.lender not in self.posttrained:
            raise ValueError(
                f"lender = {self.lender!r}: expected one of posttrained = {self.posttrained}"
            )
        if not set(self.voting) <= set(self.system):
            raise ValueError(f"voting = {self.voting}: not all of them are in system")
        if len(set(self.seed)) < len(self.seed):
            raise ValueError(f"seed = {self.seed}: each seed must be there once")
        return self


class Preset(Section):
    """Everything a run depends on.

    Attributes:
        grid: the cells that `mixframe use` puts into params.yaml, where the pipeline reads them.
    """

    title: str
    grid: Grid
    seed: Count
    compute: Compute
    download: dict[str, DownloadParams]
    protocol: Protocol
    splice: dict[str, Splice]
    pretrain: Foundation
    encoder: Encoder
    posttrain: dict[str, Posttrain]
    finetune: dict[str, System]
    score: Score
    vote: Vote
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "heldout" not in self.splice:
            raise ValueError("splice.heldout: missing; frame-level EER is measured on its splices")
        for name in self.posttrain:
            if name not in self.splice:
                raise ValueError(f"posttrain.{name}: splice.{name} is missing")
        encoders = ["random", "foundation", *self.posttrain]
        for name, system in self.finetune.items():
            if system.kind == "neural" and system.encoder not in encoders:
                raise ValueError(
                    f"finetune.{name}.encoder = {system.encoder!r}: expected one of "
                    f"{', '.join(encoders)}"
                )
        if self.posttrain and self.report.localiser not in self.posttrain:
            raise ValueError(
                f"report.localiser = {self.report.localiser!r}: expected one of "
                f"{', '.join(self.posttrain)}"
            )
        return self


class Choice(Section):
    """params.yaml."""

    preset: str
    grid: Grid


def check_grid(grid: Grid, preset: Preset) -> None:
    """Check that every system of a grid is in the preset and starts where the grid says.

    Raises:
        MixframeError: the first system that does not, what its encoder is and what it should be.
    """
    for name in grid.system:
        system = pick(preset.finetune, name, "finetune")
        if name in grid.classical:
            fits, expected = system.kind != "neural", "a classical system"
        elif name in grid.foundation:
            fits = system.kind == "neural" and system.encoder in ("random", "foundation")
            expected = "encoder random or foundation"
        else:
            wanted = name if name in grid.posttrained else grid.lender
            fits = system.kind == "neural" and system.encoder == wanted
            expected = f"encoder {wanted}"
        if not fits:
            found = f"encoder {system.encoder}" if system.kind == "neural" else system.kind
            raise MixframeError(
                f"finetune.{name} has {found}, but its place in the grid wants {expected}"
            )


def read_choice(root: Path = Path()) -> Choice:
    """Read params.yaml.

    Raises:
        MixframeError: unknown or missing keys, or a preset that does not exist.
    """
    path = root / "params.yaml"
    choice = validate(Choice, read_yaml(path), str(path))
    preset_path(choice.preset, root)
    return choice


def preset_path(name: str, root: Path = Path()) -> Path:
    """Return the file of a preset.

    Raises:
        MixframeError: there is none; the message lists those there are.
    """
    path = root / PRESETS / f"{name}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in (root / PRESETS).glob("*.yaml"))
        raise MixframeError(f"preset = {name!r}: expected one of {', '.join(names)}")
    return path


def read_preset(name: str, root: Path = Path()) -> Preset:
    """Read and validate presets/<name>.yaml.

    Raises:
        MixframeError: unknown or missing keys, wrong types, values out of range, all at once.
    """
    path = preset_path(name, root)
    return validate(Preset, read_yaml(path), str(path))


def pick(table: dict[str, Any], name: str, key: str) -> Any:
    """Return `table[name]`.

    Raises:
        MixframeError: no such entry; the message names `key` and the choices.
    """
    if name not in table:
        raise MixframeError(f"{key}.{name}: not in the preset; expected one of {', '.join(table)}")
    return table[name]
