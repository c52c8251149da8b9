"""The pooled head: sum over layers, pooling over frames, one linear layer."""

from typing import TYPE_CHECKING, Literal

from mixframe.base.schema import Positive
from mixframe.models.params import HeadSection

if TYPE_CHECKING:
    from mixframe.models.head import Head


class PooledHead(HeadSection):
    """The parameters of `mixframe.models.pooled.Pooled`.

    Attributes:
        layers: weighted = softmax-weighted sum of all layers; last = the last one.
        pooling: attentive = attentive statistics (Okabe et al., 2018); mean.
        hidden: width of the attention; unused with mean pooling.
    """

    kind: Literal["pooled"]
    layers: Literal["weighted", "last"]
    pooling: Literal["attentive", "mean"]
    hidden: Positive

    def build(self, dim: int, n_layers: int) -> "Head":
        """See `HeadSection`."""
        from mixframe.models.pooled import Pooled

        hidden = self.hidden if self.pooling == "attentive" else None
        return Pooled(dim, n_layers, self.layers == "weighted", hidden)
