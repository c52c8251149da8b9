"""Folders written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixframe.base.errors import MixframeError
from mixframe.base.files import raise_refused


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` that takes its name when the block ends well.

    Raises:
        MixframeError: `folder` is there already, or none can be made at its place.
    """
    # A link whose target is missing is there as well.
    if os.path.lexists(folder):
        raise MixframeError(f"{folder}: is there already; give the name of a new folder")
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise_refused(error, str(folder))
    try:
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
