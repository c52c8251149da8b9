"""Sections of a preset that say what a model is. Heads are plug-ins: `mixframe.models.heads`.

Nothing here imports torch, so that a preset is read in no time.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from mixframe.audio.frames import FrameGrid
from mixframe.base.schema import Above0, AtLeast0, Positive, Section, Share

if TYPE_CHECKING:
    from mixframe.models.head import Head

ENCODER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
"""Files of an encoder, as `save_pretrained` writes them."""


class Architecture(Section):
    """A HuBERT-style encoder (Hsu et al., 2021) in the form of `transformers.HubertConfig`."""

    hidden: Positive
    layers: Positive
    heads: Positive
    feed_forward: Positive
    conv_dim: Positive
    conv_kernels: Annotated[list[Positive], Field(min_length=1)]
    conv_strides: Annotated[list[Positive], Field(min_length=1)]
    position_kernel: Positive
    position_groups: Positive

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees: no less than these give a frame."""
        return FrameGrid(tuple(self.conv_kernels), tuple(self.conv_strides)).receptive_field

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        kernels, strides = self.conv_kernels, self.conv_strides
        if len(kernels) != len(strides):
            raise ValueError(
                f"conv_kernels {kernels} and conv_strides {strides} are not equally many"
            )
        for key in ("heads", "position_groups"):
            if self.hidden % getattr(self, key):
                raise ValueError(f"{key} {getattr(self, key)} does not divide hidden {self.hidden}")
        return self


class Hub(Section):
    """A foundation model from the Hugging Face hub, pinned by commit."""

    kind: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Folder(Section):
    """A foundation model in a local folder, as `save_pretrained` writes it."""

    kind: Literal["folder"]
    path: str


class Encoder(Section):
    """The encoder while it is post-trained or fine-tuned.

    The models' own defaults (layerdrop 0.1, which changes the number of hidden states, and
    SpecAugment) are always off.

    Attributes:
        dropout: of hidden states, attention weights, activations and projected features.
    """

    dropout: Share


class Lora(Section):
    """LoRA adapters (Hu et al., 2022) as `peft.LoraConfig` takes them."""

    kind: Literal["lora"]
    rank: Positive
    alpha: Positive
    dropout: Share
    targets: Annotated[list[str], Field(min_length=1)]


def _lower_part(value: Any) -> str | int:
    if value in ("none", "convolutions") or (type(value) is int and value >= 1):
        return value
    raise ValueError("expected none, convolutions, or how many transformer layers, at least 1")


LowerPart = Annotated[str | int, PlainValidator(_lower_part)]
"""The lower part of an encoder: none of it, its convolutions, or all that lies below the output of
its n-th transformer layer."""


class Full(Section):
    """The encoder's own weights are trained.

    Attributes:
        freeze: the lower part that stays as it is.
    """

    kind: Literal["full"]
    freeze: LowerPart


class Frozen(Section):
    """The encoder stays as it is; only what sits on it is trained."""

    kind: Literal["none"]


Adapter = Annotated[Lora | Full | Frozen, Field(discriminator="kind")]
"""What is trained of an encoder."""


def draws_numbers(encoder: Encoder, adapter: Adapter) -> bool:
    """Return whether a forward pass in training draws random numbers: dropout does."""
    return encoder.dropout > 0 or (isinstance(adapter, Lora) and adapter.dropout > 0)


class HeadSection(Section):
    """A section of a preset that says what a head is like.

    Attributes:
        votes_for_frames: whether the head has a `chosen`, as `mixframe.models.fgfm` has it.
    """

    votes_for_frames: ClassVar[bool] = False
    kind: str

    def build(self, dim: int, n_layers: int) -> "Head":
        """Return the head with fresh weights.

        Args:
            dim: width of the encoder's frames.
            n_layers: the encoder's blocks; its input to the first one is one more layer.
        """
        raise NotImplementedError


class SequenceHead(HeadSection):
    """Blocks over frames behind a class token: `mixframe.models.sequence`.

    Attributes:
        block: what the blocks are.
        dim: width the encoder's frames are projected to.
        heads: of the attention; they divide dim.
        feed_forward: hidden width of the feed-forwards in units of dim.
        activation: of the feed-forwards.
        expansion, kernel: width (in units of dim) and length (odd) of a Conformer's convolution.
    """

    block: ClassVar[Literal["conformer", "transformer"]]
    dim: Positive
    blocks: Positive
    heads: Positive
    feed_forward: Positive
    activation: Literal["silu", "gelu", "relu"]
    expansion: Positive
    kernel: Positive
    dropout: Share
    positions: Literal["sinusoidal", "none"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} is not an even multiple of heads {self.heads}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is not odd")
        return self


Choice = Literal["votes", "attention", "all"]
"""Which frames go on: those voted for, those with the highest summed attention, or every one."""


class FineGrainedHead(SequenceHead):
    """The same with voting and refinement: `mixframe.models.fgfm`.

    Attributes:
        votes: frames a head votes for, and frames chosen in a block.
        vote_kernel: smooths the counted votes along time; an odd number of weights.
        ties: what orders frames with equal counts: the summed attention of the heads and then time,
            or time alone.
        first_choice: which frames of each block are refined.
        second_choice: which of the refined frames pass the final blocks.
        refine_blocks, final_blocks: before and after the second choice.
        refine_feed_forward: of these blocks: the dynamic aggregation one, or the plain one.
        aggregation_kernel: length of the depthwise convolution of the dynamic aggregation, odd.
        squeeze: dim / squeeze is the width of its excitation.
        final_token: the class token that passes the final blocks. refined: the one that passed the
            refinement; the auxiliary classifier is one of its own on the token before refinement,
            and the loss is main + auxiliary_weight * auxiliary. unrefined: the one before
            refinement (Xu et al., TMM 2023); the auxiliary logits are the same classifier's on the
            refined token, their softmax times the sum of each class's weights is added to the main
            logits, and the loss is (1 - auxiliary_weight) * main + auxiliary_weight * auxiliary.
        auxiliary_weight: below 1 with final_token unrefined; 0 is no auxiliary loss.
    """

    votes_for_frames: ClassVar[bool] = True
    votes: Positive
    vote_kernel: list[Above0]
    ties: Literal["attention", "time"]
    first_choice: Choice
    second_choice: Choice
    refine_blocks: Positive
    final_blocks: Positive
    refine_feed_forward: Literal["aggregation", "plain"]
    aggregation_kernel: Positive
    squeeze: Positive
    final_token: Literal["refined", "unrefined"]
    auxiliary_weight: AtLeast0

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if len(self.vote_kernel) % 2 == 0:
            raise ValueError(f"vote_kernel {self.vote_kernel} has no middle: its length is even")
        if self.aggregation_kernel % 2 == 0:
            raise ValueError(f"aggregation_kernel {self.aggregation_kernel} is not odd")
        if self.squeeze > self.dim:
            raise ValueError(f"squeeze {self.squeeze} leaves nothing of dim {self.dim}")
        return self

    @model_validator(mode="after")
    def _trains_the_final_blocks(self) -> Self:
        if self.final_token == "unrefined" and self.auxiliary_weight >= 1:
            raise ValueError(
                f"auxiliary_weight {self.auxiliary_weight} leaves nothing for the final logits: "
                "with final_token unrefined it is below 1"
            )
        return self
