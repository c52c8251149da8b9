"""Splice patterns: where in an utterance the injected regions lie.

A pattern is one module with one function and one line below. It draws regions in frames from its
own random stream and keeps them disjoint, in order, and within the limits it is given.
"""

from mixframe.splicing.patterns import boundary, long, periodic, regions, short
from mixframe.splicing.patterns.limits import Limits, Pattern, Regions

PATTERNS: dict[str, Pattern] = {
    "regions": regions.draw,
    "short": short.draw,
    "long": long.draw,
    "periodic": periodic.draw,
    "boundary": boundary.draw,
}

__all__ = ["PATTERNS", "Limits", "Pattern", "Regions"]
