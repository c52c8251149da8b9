"""The Conformer head: XLSR-Conformer (Rosello et al., Interspeech 2023)."""

from typing import TYPE_CHECKING, Literal

from mixframe.models.params import SequenceHead

if TYPE_CHECKING:
    from mixframe.models.head import Head


class ConformerHead(SequenceHead):
    """Conformer blocks behind a class token."""

    block = "conformer"
    kind: Literal["conformer"]

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`; the encoder's number of layers does not matter here."""
        from mixframe.models.sequence import SequenceClassifier

        return SequenceClassifier(self, dim)
