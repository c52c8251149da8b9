"""Splice patterns: where in an utterance the injected regions lie.

A new one is a module with a section, whose `draw` does the work, and one line below. It draws from
the random stream that it is given and keeps its regions disjoint, in order and inside the
utterance.
"""

from typing import Annotated

from mixframe.audio.splicing.patterns.pattern import Pattern
from mixframe.base.schema import OneOf, sections

PATTERNS: dict[str, type[Pattern]] = sections(
    __name__,
    {
        "regions": "regions.AnyRegions",
        "short": "short.ShortRegions",
        "long": "long.LongRegion",
        "periodic": "periodic.PeriodicRegions",
        "boundary": "boundary.BoundaryRegions",
        "side": "side.SideRegion",
    },
)
"""The patterns by the name that a preset gives."""

AnyPattern = Annotated[Pattern, OneOf(PATTERNS, key="name")]
