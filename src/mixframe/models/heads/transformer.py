"""The Transformer head: the Conformer head with Transformer blocks."""

from typing import TYPE_CHECKING, Literal

from mixframe.models.params import SequenceHead

if TYPE_CHECKING:
    from mixframe.models.head import Head


class TransformerHead(SequenceHead):
    """Transformer blocks behind a class token."""

    block = "transformer"
    kind: Literal["transformer"]

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`; the encoder's number of layers does not matter here."""
        from mixframe.models.sequence import SequenceClassifier

        return SequenceClassifier(self, dim)
