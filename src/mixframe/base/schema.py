"""The base of every typed section of a preset, and messages that name key, value and choices."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core.core_schema import CoreSchema, tagged_union_schema

from mixframe.base.errors import MixframeError, listing

S = TypeVar("S", bound=BaseModel)

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator takes: those of scikit-learn take 32 bits."""
Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""Of sound that is heard at once."""
LabelChoice = Literal["bonafide", "spoof", "any"]


def _rising(limits: list[float]) -> list[float]:
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ValueError("two numbers expected, the smaller one first")
    return limits


Range = Annotated[list[float], AfterValidator(_rising)]
"""[low, high]."""


class Section(BaseModel):
    """A part of a preset. Every key is required and no other key is accepted.

    Defaults would hide values from `dvc params diff`, so a preset spells everything out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def modules(self) -> tuple[str, ...]:
        """Return the modules that a cell with this section among its parameters uses."""
        return (type(self).__module__,)


def sections(package: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Import the sections of a table of plug-ins.

    Args:
        names: to each kind where its section is in the package: {"pooled": "pooled.PooledHead"}.
    """
    table = {}
    for kind, place in names.items():
        module, name = place.split(".")
        table[kind] = getattr(import_module(f"{package}.{module}"), name)
    return table


@dataclass(frozen=True)
class OneOf:
    """Marks a key whose section is one of a table's: `Annotated[Base, OneOf(TABLE)]`.

    Attributes:
        table: the sections by kind, each a subclass of `Base`.
        key: the section's key that says its kind.
    """

    table: Mapping[str, type[Section]]
    key: str = "kind"

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read the key as the section that its own `key` names."""
        choices = {name: handler.generate_schema(one) for name, one in self.table.items()}
        return tagged_union_schema(choices, discriminator=self.key)


def validate(model: type[S], value: Any, where: str) -> S:
    """Build `model` from plain data read from YAML.

    Raises:
        MixframeError: one line a problem, each with the key, the value found and what is expected.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MixframeError(
            f"{where}:\n{listing([_describe(e) for e in error.errors()])}"
        ) from error


def _describe(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(the file)"
    kind, found = error["type"], error["input"]
    if kind == "missing":
        return f"{key}: missing; every key must be given"
    if kind == "extra_forbidden":
        return f"{key} = {found!r}: unknown key"
    if kind == "union_tag_invalid":
        context = error["ctx"]
        name = context["discriminator"].strip("'")
        return f"{key}.{name} = {context['tag']!r}: input should be {context['expected_tags']}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key} = {_short(found)}: {message[0].lower()}{message[1:]}"


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
