"""Section robustness of a preset: what is heard under which distortions."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mixframe.audio.distortions.conditions import Conditions, Name
from mixframe.audio.distortions.planning import CLEAN
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Positive, Section


class Trials(Section):
    """How many trials of a set are drawn; all where it has no more."""

    bonafide: Positive
    spoof_per_attack: Positive


class Curve(Section):
    """A degradation curve.

    Attributes:
        axis: what the strength is, with its unit.
        strengths: of each condition on the curve, by its name.
    """

    axis: str
    strengths: Annotated[dict[Name, float], Field(min_length=2)]


class Robustness(Conditions):
    """Stages distort, score_robust and evaluate_robust.

    Attributes:
        systems: of the grid, in the order of the table.
        sets: of the grid, each with a plan of its own.
        trials: of each set that are heard, the same ones under every condition.
        conditions: see `Conditions`; the same utterances as recorded come on top.
        curves: conditions that differ in strength alone, by a name for them.
    """

    systems: Annotated[list[str], Field(min_length=1)]
    sets: Annotated[list[str], Field(min_length=1)]
    trials: Trials
    curves: dict[Name, Curve]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if CLEAN in self.conditions:
            raise ValueError(f"conditions.{CLEAN}: the name of utterances as recorded")
        for name, curve in self.curves.items():
            for condition in curve.strengths:
                if condition not in self.conditions:
                    raise ValueError(
                        f"curves.{name}.strengths: no condition {condition!r}; expected some of "
                        f"{', '.join(self.conditions)}"
                    )
        return self


def need(section: Robustness | None, preset: str) -> Robustness:
    """Return the section of a preset.

    Raises:
        MixframeError: it has none.
    """
    if section is None:
        raise MixframeError(f"preset {preset}: it has no section robustness")
    return section
