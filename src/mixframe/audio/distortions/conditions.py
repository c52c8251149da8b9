"""Ready conditions: distortions by name, each of a fixed strength."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from mixframe.audio.distortions import AnyDistortion
from mixframe.audio.distortions.distortion import Distortion
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Section, validate
from mixframe.base.yamlfiles import read_yaml

READY = Path("presets") / "conditions" / "ready.yaml"
"""Of a project: the conditions that come with the package."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Conditions(Section):
    """A file of conditions.

    Attributes:
        conditions: a distortion by the name of the condition, which says its strength.
    """

    conditions: Annotated[dict[Name, AnyDistortion], Field(min_length=1)]


def read_conditions(path: Path) -> dict[str, Distortion]:
    """Read a file of conditions.

    Raises:
        MixframeError: no such file, an unknown kind or key, a strength out of range, a name of
            other characters than small letters, digits and underscores; all at once.
    """
    return dict(validate(Conditions, {"conditions": read_yaml(path)}, str(path)).conditions)


def read_condition(name: str, path: Path) -> Distortion:
    """Read one condition of a file.

    Raises:
        MixframeError: see `read_conditions`; there is none of this name, and the message lists
            those there are.
    """
    conditions = read_conditions(path)
    if name not in conditions:
        raise MixframeError(
            f"{path}: no condition {name!r}; expected one of {', '.join(conditions)}"
        )
    return conditions[name]
