"""Folders written whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixframe.base.errors import MixframeError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its name when the block ends well.

    Raises:
        MixframeError: `folder` is there already.
    """
    if folder.exists():
        raise MixframeError(f"{folder}: is there already; give the name of a new folder")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
