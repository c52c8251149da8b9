"""Heads: what makes two logits, spoof and bona fide, of an encoder's frames.

A new one is a module with a section, whose `build` returns the network, and one line below. What
imports torch is imported in `build`, so that reading a preset stays quick: large networks stand in
modules beside this folder.
"""

from typing import Annotated

from mixframe.base.schema import OneOf, sections
from mixframe.models.params import HeadSection

HEADS: dict[str, type[HeadSection]] = sections(
    __name__,
    {
        "pooled": "pooled.PooledHead",
        "conformer": "conformer.ConformerHead",
        "transformer": "transformer.TransformerHead",
        "conformer_fgfm": "conformer_fgfm.ConformerFgfmHead",
        "transformer_fgfm": "transformer_fgfm.TransformerFgfmHead",
    },
)
"""The heads by the kind that a preset gives."""

AnyHead = Annotated[HeadSection, OneOf(HEADS)]
