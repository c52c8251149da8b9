"""WORLD copy-synthesis: analyse speech and synthesise it again, unchanged."""

import numpy as np

from mixframe.corpora.demo.attacks.analysis import Analysis, analyse, render
from mixframe.corpora.demo.attacks.context import Context, Wave


class Params(Analysis):
    """See `Analysis`."""


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (n,) speech made from the WORLD features of (n,) speech, both at 16 kHz."""
    return render(analyse(wave, params), params, wave.size)
