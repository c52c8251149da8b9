"""Attacks on a trained system: changes of a waveform, too small to matter, that move its score.

A new one is a module with a section, whose `search` does the work, and one line below. What imports
torch is imported in it, so that reading a preset stays quick.
"""

from typing import Annotated

from mixframe.base.schema import OneOf, sections
from mixframe.training.adversarial.attack import Attack

ATTACKS: dict[str, type[Attack]] = sections(
    __name__,
    {
        "fgsm": "fgsm.Fgsm",
        "pgd": "pgd.Pgd",
    },
)
"""The attacks by the kind that a preset gives."""

AnyAttack = Annotated[Attack, OneOf(ATTACKS)]
"""What every attack is."""
