"""A head with fresh weights, for an encoder of one's own."""

from typing import Any

from mixframe.base.errors import MixframeError
from mixframe.base.schema import validate
from mixframe.models.head import Head
from mixframe.models.heads import HEADS

_SEQUENCE = {
    "dim": 144,
    "blocks": 4,
    "heads": 4,
    "feed_forward": 4,
    "activation": "silu",
    "expansion": 2,
    "kernel": 31,
    "dropout": 0.0,
    "positions": "sinusoidal",
}

_FINE_GRAINED = {
    **_SEQUENCE,
    "votes": 24,
    "vote_kernel": [1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0],
    "ties": "attention",
    "first_choice": "votes",
    "second_choice": "votes",
    "refine_blocks": 1,
    "final_blocks": 1,
    "refine_feed_forward": "aggregation",
    "aggregation_kernel": 3,
    "squeeze": 4,
    "final_token": "refined",
    "auxiliary_weight": 0.5,
}

VALUES: dict[str, dict[str, Any]] = {
    "pooled": {"layers": "weighted", "pooling": "attentive", "hidden": 128},
    "conformer": _SEQUENCE,
    "transformer": _SEQUENCE,
    "conformer_fgfm": _FINE_GRAINED,
    "transformer_fgfm": _FINE_GRAINED,
}
"""What the presets of ASVspoof 2019 LA give each kind of head."""


def head(kind: str, width: int, n_layers: int = 1, /, **values: Any) -> Head:
    """Return a head; its forward maps layers of (B, T, width) and a mask to (B, 2) logits.

    A layer is a (B, T, width) tensor of frames; the mask is (B, T) bool, true for frames. Heads but
    pooled with layers weighted look at the last layer alone. The logits are spoof and bona fide.

    Args:
        kind: pooled, conformer, transformer, conformer_fgfm or transformer_fgfm.
        width: of the encoder's frames.
        n_layers: the encoder's blocks; a head on all layers gets n_layers + 1 of them.
        values: keys of the head's section of a preset (`mixframe.models.heads`), in the place of
            those that the presets of ASVspoof 2019 LA give.

    Raises:
        MixframeError: an unknown kind or key, or a value that is not valid.
    """
    if kind not in HEADS:
        raise MixframeError(f"head = {kind!r}: expected one of {', '.join(HEADS)}")
    section = validate(HEADS[kind], {"kind": kind, **VALUES[kind], **values}, f"head {kind}")
    return section.build(width, n_layers)
