"""Sections of a preset that say how models are trained, and what is trained."""

from operator import not_
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mixframe.audio.augmentations import AnyAugmentation
from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Above0, AtLeast0, Count, Positive, Seconds, Section
from mixframe.models.params import Adapter, Architecture, Folder, Hub

Precision = Literal["fp32", "tf32", "bf16"]


class Train(Section):
    """One training run; `mixframe.training.loop` is its reader.

    Attributes:
        steps: optimiser steps.
        batch: utterances a step.
        slices: equal parts of a batch whose gradients are summed; they bound memory and, on a CPU,
            run on several threads. The number of threads never changes a result, this may.
        bucket: steps that share their draws out among them by length, so that little is padded;
            which of them gets the short ones is drawn. 1 sorts within each batch; 0, also where
            the key is left out, leaves batches as they are drawn.
        optimiser: adamw decays weights by themselves (Loshchilov and Hutter, 2019); adam adds the
            decay to the gradient, as torch.optim.Adam does, so that it is not scaled by lr alone.
        lr: peak learning rate.
        warmup: steps of linear rise.
        schedule: after the rise: cosine to 0, or constant.
        clip_norm: largest gradient norm; 0 for no clipping.
        evaluate_every: steps between validations.
        checkpoint_every: steps between checkpoints from which a killed run resumes.
        precision: bf16 trains under autocast, tf32 lets a GPU round the factors of products and
            convolutions; validations are computed in fp32, those that score utterances as
            `score.precision` says. A CPU that does not multiply in bf16, or is held to AVX2
            (`compute.isa`), trains in fp32 and says so.
        recompute: whether the backward pass computes each layer of the encoder once more, of which
            nothing is then kept but its input (gradient checkpointing; Chen et al., 2016): less
            memory, more time, the same results. False where the key is left out.
    """

    steps: Positive
    batch: Positive
    slices: Positive
    bucket: Count = Field(0, exclude_if=not_)
    optimiser: Literal["adamw", "adam"]
    lr: Above0
    weight_decay: AtLeast0
    warmup: Count
    schedule: Literal["cosine", "constant"]
    clip_norm: AtLeast0
    evaluate_every: Positive
    checkpoint_every: Positive
    precision: Precision
    recompute: bool = Field(False, exclude_if=not_)

    @property
    def validations(self) -> int:
        """Validations of a run that goes through all its steps; one stands at its end."""
        return -(-self.steps // self.evaluate_every)

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

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} exceeds n_mels {self.n_mels}")
        if self.cluster_frames < self.clusters:
            raise ValueError(
                f"cluster_frames {self.cluster_frames} are fewer than clusters {self.clusters}"
            )
        return self


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
    crop_seconds: Seconds
    train: Train

    @model_validator(mode="after")
    def _crops_have_frames(self) -> Self:
        samples, field = int(self.crop_seconds * SAMPLE_RATE), self.architecture.receptive_field
        if samples < field:
            raise ValueError(
                f"crop_seconds {self.crop_seconds} is {samples} samples, but one frame of "
                f"architecture sees {field}"
            )
        return self


Foundation = Annotated[Scratch | Hub | Folder, Field(discriminator="kind")]


class Posttrain(Section):
    """Stage posttrain.

    Attributes:
        objective: frames = MFPT's frame labels; utterance = the base utterance's own label on the
            mean of the frame logits, the control with the same steps and classifier.
        adapter: what is trained of the encoder; LoRA is merged into its weights at the end.
        classifier_hidden: width of the frame classifier's hidden layer.
        positive_weight: weight of label-1 frames in the loss.
        localise: sets with known regions whose frames are scored at the end.
    """

    objective: Literal["frames", "utterance"]
    adapter: Adapter
    classifier_hidden: Positive
    positive_weight: Above0
    localise: list[str]
    train: Train


def _two_classes(weights: Any) -> Any:
    if weights != "auto" and len(weights) != 2:
        raise ValueError("expected auto, or two numbers: [spoof, bonafide]")
    return weights


class UtteranceTraining(Section):
    """How fine-tuning hears utterances and learns from them: `mixframe.training.utterances`.

    Attributes:
        crop_seconds: training crops; evaluation uses whole utterances up to score.max_seconds.
        crop: where a training crop of a longer utterance begins: at its first sample, or anywhere.
        short: keep leaves shorter utterances as they are; tile repeats them up to crop_seconds, and
            then evaluation hears the first crop_seconds of each utterance, tiled as well.
        augment: what training crops go through.
        class_weights: [spoof, bonafide] in the cross-entropy, or auto: inverse to the counts.
        select: the best validation has the lowest EER on dev, Cllr settling ties, or the lowest
            loss there, weighted as in training.
        average: the weights are averaged over this many best validations.
        patience: training stops after this many validations without a better one; 0 = never. It
            must be able to stop it before the last one.
    """

    crop_seconds: Seconds
    crop: Literal["first", "random"]
    short: Literal["keep", "tile"]
    augment: AnyAugmentation
    class_weights: Annotated[Literal["auto"] | list[Above0], AfterValidator(_two_classes)]
    select: Literal["eer", "loss"]
    average: Positive
    patience: Count
    train: Train

    @model_validator(mode="after")
    def _patience_can_act(self) -> Self:
        n = self.train.validations
        if self.patience and self.patience > n - 2:
            raise ValueError(
                f"patience = {self.patience} can never end training before its last validation: "
                f"train.steps {self.train.steps} with evaluate_every {self.train.evaluate_every} "
                f"gives {n} validations; expected at most {max(n - 2, 0)}, where 0 is never"
            )
        return self


class Score(Section):
    """Stage score.

    Attributes:
        batch: most utterances scored at once; they are of similar length.
        batch_seconds: most seconds scored at once, with padding: it bounds memory where utterances
            are long; 0 for any number. A longer utterance is scored alone.
        max_seconds: longer utterances are cut to their first part.
        merge: whether LoRA adapters are added to the weights they adapt before utterances are
            scored, as PEFT's `merge_and_unload` does: faster, and the same but for rounding.
        precision: what encoders multiply in to score utterances, also those of validations; their
            heads are computed in fp32 all the same. See `Train`; fp32 where the key is left out.
    """

    batch: Positive
    batch_seconds: AtLeast0
    max_seconds: Seconds
    merge: bool
    precision: Precision = Field("fp32", exclude_if="fp32".__eq__)
