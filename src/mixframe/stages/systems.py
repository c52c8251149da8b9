"""Trained systems as files: what stage finetune leaves and stages score and vote take up."""

from pathlib import Path
from typing import Any

from mixframe.base import isa
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, sha256_file, write_json
from mixframe.models.params import ENCODER_FILES
from mixframe.stages.card import CARD, read_card
from mixframe.stages.context import Context
from mixframe.training.systems.system import System, Work


def work(context: Context, params: System, what: str) -> Work:
    """Return what a system of this context is trained and scored with.

    Args:
        what: title of the progress shown.
    """
    files, preset = context.files, context.preset
    start = None
    if params.starts_from is not None:
        untouched = params.starts_from in ("random", "foundation")
        start = files.foundation if untouched else files.posttrained(params.starts_from)
    return Work(start, preset.encoder, preset.score, context.compute, context.seed, what)


def write_card(folder: Path, encoder: Path | None, figures: dict[str, Any]) -> None:
    """Write card.json: what was trained, on which instruction set, and the sha256 of its files.

    Args:
        folder: the files of the system.
        encoder: folder of the encoder underneath; None where there is none.
    """
    own = {p.name: sha256_file(p) for p in sorted(folder.iterdir()) if p.name != CARD}
    under = {} if encoder is None else {n: sha256_file(encoder / n) for n in ENCODER_FILES}
    card = {
        **figures,
        "isa": isa.current(),
        "files": own,
        "encoder": {"folder": str(encoder or ""), "files": under},
    }
    write_json(folder / CARD, card)


def check_card(folder: Path) -> None:
    """Check that the files of a system and of its encoder are those it was trained with.

    Raises:
        MixframeError: a file is missing or has another content.
    """
    card = read_card(folder)
    pinned = {folder / name: sha for name, sha in card.files.items()}
    pinned |= {Path(card.encoder.folder) / name: sha for name, sha in card.encoder.files.items()}
    for path, pin in pinned.items():
        sha = sha256_file(need_file(path, "finetune"))
        if sha != pin:
            raise MixframeError(
                f"{path}: sha256 {sha}, but {folder / CARD} was made with {pin}; "
                "run `dvc repro` to bring them together"
            )
