"""card.json, which stage finetune leaves beside a trained system, read again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mixframe.base.files import need_file, read_object
from mixframe.base.schema import validate

CARD = "card.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Under(_Part):
    """The encoder under a system: its folder, "" where there is none, and sha256 by file."""

    folder: str
    files: dict[str, str]


class Parameters(_Part):
    """Numbers of parameters: those that training changed, and all."""

    trainable: int
    total: int


class Card(_Part):
    """What is read again; a card says more, which differs between kinds of systems.

    Attributes:
        isa: instruction set of the training.
        files: sha256 of the system's own files.
    """

    isa: str
    parameters: Parameters
    files: dict[str, str]
    encoder: Under


def read_card(folder: Path) -> Card:
    """Read the card of the system in a folder.

    Raises:
        MixframeError: it is missing, or says less than `Card`.
    """
    path = need_file(folder / CARD, "finetune")
    return validate(Card, read_object(path), str(path))
