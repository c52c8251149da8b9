"""Sections of a preset that say how frames are judged, and an utterance by them or beside them."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from mixframe.base.schema import Above0, Positive, Section
from mixframe.models.heads import AnyHead
from mixframe.models.params import HeadSection

if TYPE_CHECKING:
    from mixframe.models.head import Head


class MaxPooling(Section):
    """An utterance is as spoofed as its most suspicious unit of frames."""

    kind: Literal["max"]


class TopPooling(Section):
    """An utterance is as spoofed as its most suspicious units on the average.

    Attributes:
        share: of an utterance's units, those with the highest logits.
    """

    kind: Literal["topk"]
    share: Annotated[float, Field(gt=0, le=1)]


class AttentionPooling(Section):
    """The logits of the units are averaged with weights that a small network gives them.

    Attributes:
        hidden: width of that network.
        weight: of the utterance's own label in the loss, from which the network learns.
    """

    kind: Literal["attention"]
    hidden: Positive
    weight: Above0


Pooling = Annotated[MaxPooling | TopPooling | AttentionPooling, Field(discriminator="kind")]
"""How the logits of an utterance's units become its score."""


class FrameHeadSection(HeadSection):
    """What judges frames: `mixframe.models.frame_head`.

    Attributes:
        layers: weighted = softmax-weighted sum of all layers; last = the last one.
        classifier_hidden: width of the hidden layer of a frame classifier.
        resolutions: frames of the encoder in a unit, rising; each has a classifier of its own, and
            frames get the logits of the first. Of 20 ms frames 1 and 8 make units of 20 and 160 ms.
        positive_weight: weight of spoofed units in the loss.
    """

    layers: Literal["weighted", "last"]
    classifier_hidden: Positive
    resolutions: Annotated[list[Positive], Field(min_length=1)]
    positive_weight: Above0

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.resolutions != sorted(set(self.resolutions)):
            raise ValueError(f"resolutions {self.resolutions}: expected to rise")
        return self

    @property
    def loss_weights(self) -> tuple[float, float]:
        """Weights in the loss of an utterance's frame labels and of its own label."""
        raise NotImplementedError


class FramesHead(FrameHeadSection):
    """Frame labels are learnt, and an utterance is judged by its frames."""

    kind: Literal["frames"]
    pooling: Pooling

    @property
    def loss_weights(self) -> tuple[float, float]:
        """See `FrameHeadSection`."""
        return 1.0, self.pooling.weight if isinstance(self.pooling, AttentionPooling) else 0.0

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`."""
        from mixframe.models.frame_head import PooledFrames

        return PooledFrames(self, dim, n_layers)


class BothHead(FrameHeadSection):
    """Frame labels and the utterance's label are learnt side by side.

    Attributes:
        frames_weight, utterance_weight: of the two in the loss.
        utterance: the head that judges utterances.
    """

    kind: Literal["both"]
    frames_weight: Above0
    utterance_weight: Above0
    utterance: AnyHead

    @property
    def loss_weights(self) -> tuple[float, float]:
        """See `FrameHeadSection`."""
        return self.frames_weight, self.utterance_weight

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`."""
        from mixframe.models.frame_head import FramesAndUtterance

        return FramesAndUtterance(self, dim, n_layers)


AnyFrameHead = Annotated[FramesHead | BothHead, Field(discriminator="kind")]
