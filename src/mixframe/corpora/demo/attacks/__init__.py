"""The spoofing attacks of the demo corpus: each a real system in a module of its own.

A new attack is a module with a `Params` section and a `synthesise` function, and one line below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixframe.base.errors import MixframeError
from mixframe.base.schema import Section
from mixframe.corpora.demo.attacks import (
    griffin_lim,
    lpc,
    psola,
    tts,
    voice_conversion,
    world,
    world_coded,
)
from mixframe.corpora.demo.attacks.context import Context, Wave


@dataclass(frozen=True)
class Attack:
    """An attack as the corpus calls it.

    Attributes:
        params: the section of the preset that tunes it.
        synthesise: maps (n,) speech at 16 kHz to (m,) spoofed speech at 16 kHz, given a random
            generator, the `Context` and `params`; equal arguments give equal samples.
        needs_target: whether the context must name the voice to convert to.
    """

    params: type[Section]
    synthesise: Callable[[Wave, np.random.Generator, Context, Any], Wave]
    needs_target: bool = False


ATTACKS = {
    "world": Attack(world.Params, world.synthesise),
    "griffin_lim": Attack(griffin_lim.Params, griffin_lim.synthesise),
    "lpc": Attack(lpc.Params, lpc.synthesise),
    "vc": Attack(voice_conversion.Params, voice_conversion.synthesise, needs_target=True),
    "tts": Attack(tts.Params, tts.synthesise),
    "psola": Attack(psola.Params, psola.synthesise),
    "world_coded": Attack(world_coded.Params, world_coded.synthesise),
}
"""The attacks by the name they have in presets, protocols and manifests."""


def attack(name: str) -> Attack:
    """Return the attack called `name`.

    Raises:
        MixframeError: there is none; the message has the choices.
    """
    if name not in ATTACKS:
        raise MixframeError(f"unknown attack '{name}'; choices: {', '.join(ATTACKS)}")
    return ATTACKS[name]


def check_names(names: Sequence[str]) -> None:
    """Check that every name is an attack, and none is there twice.

    Raises:
        ValueError: of the first problem; the message has the choices.
    """
    for name in names:
        if name not in ATTACKS:
            raise ValueError(f"unknown attack '{name}'; choices: {', '.join(ATTACKS)}")
        if names.count(name) > 1:
            raise ValueError(f"attack '{name}' is named twice")


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
    chosen = attack(name)
    if chosen.needs_target and context.target is None:
        raise MixframeError(f"attack '{name}' needs a target voice, and the context has none")
    made = np.asarray(chosen.synthesise(wave, rng, context, params), dtype=np.float64)
    if made.size == 0 or not np.isfinite(made).all() or not made.any():
        raise MixframeError(
            f"attack '{name}' gave {made.size} samples, "
            f"{int(np.count_nonzero(~np.isfinite(made)))} of them not finite and "
            f"{int(np.count_nonzero(made))} of them not 0, from {wave.size} samples of speech"
        )
    return made
