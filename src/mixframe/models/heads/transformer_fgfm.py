"""The Transformer head with fine-grained frame modelling."""

from typing import TYPE_CHECKING, Literal

from mixframe.models.params import FineGrainedHead

if TYPE_CHECKING:
    from mixframe.models.head import Head


class TransformerFgfmHead(FineGrainedHead):
    """Transformer blocks behind a class token, voting and refinement."""

    block = "transformer"
    kind: Literal["transformer_fgfm"]

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`; the encoder's number of layers does not matter here."""
        from mixframe.models.fgfm import FineGrained

        return FineGrained(self, dim)
