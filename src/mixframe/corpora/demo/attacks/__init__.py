"""The spoofing attacks of the demo corpus: each a real system in a module of its own.

A new attack is a module <name>.py and one line below. The module has

- `Params`, the section protocol.corpora.demo.attacks.<name> of a preset, defined in the module;
- `synthesise(wave, rng, context, params)`, which makes (m,) spoofed speech at 16 kHz of (n,) speech
  at 16 kHz, given a random generator and a `Context`; equal arguments give equal samples.

An attack whose `Params` is a `Conversion` is given a target voice. Heavy libraries are imported
where they are used.
"""

from importlib import import_module
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from mixframe.base.errors import MixframeError
from mixframe.corpora.demo.attacks.analysis import Conversion
from mixframe.corpora.demo.attacks.context import Context, Wave

ATTACKS = {
    name: import_module(f"{__name__}.{name}")
    for name in (
        "world",
        "griffin_lim",
        "lpc",
        "vc",
        "tts",
        "psola",
        "world_coded",
    )
}
"""The attacks by the name they have in presets, protocols and manifests."""


def _check_names(names: list[str]) -> list[str]:
    for name in names:
        if name not in ATTACKS:
            raise ValueError(f"unknown attack '{name}'; choices: {', '.join(ATTACKS)}")
        if names.count(name) > 1:
            raise ValueError(f"attack '{name}' is named twice")
    return names


AttackNames = Annotated[list[str], Field(min_length=1), AfterValidator(_check_names)]
"""Names of attacks, each at most once."""


def needs_target(name: str) -> bool:
    """Tell whether an attack converts speech to the voice of another speaker."""
    return issubclass(ATTACKS[name].Params, Conversion)


def synthesise(
    name: str, wave: Wave, rng: np.random.Generator, context: Context, params: Any
) -> Wave:
    """Run an attack and check what it gives.

    Args:
        wave: (n,) speech at 16 kHz.
        params: the attack's own section.

    Returns:
        (m,) float64 at 16 kHz.

    Raises:
        MixframeError: unknown name, no target voice where one is needed, or an output that is
            empty, silent or not finite.
    """
    if name not in ATTACKS:
        raise MixframeError(f"unknown attack '{name}'; choices: {', '.join(ATTACKS)}")
    if needs_target(name) and context.target is None:
        raise MixframeError(f"attack '{name}' needs a target voice, and the context has none")
    made = np.asarray(ATTACKS[name].synthesise(wave, rng, context, params), dtype=np.float64)
    if made.size == 0 or not np.isfinite(made).all() or not made.any():
        raise MixframeError(
            f"attack '{name}' gave {made.size} samples, "
            f"{int(np.count_nonzero(~np.isfinite(made)))} of them not finite and "
            f"{int(np.count_nonzero(made))} of them not 0, from {wave.size} samples of speech"
        )
    return made
