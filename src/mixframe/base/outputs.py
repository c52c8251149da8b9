"""Where a command may write what its user asked for: regular files and new names."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from mixframe.base.errors import MixframeError
from mixframe.base.files import temporary_file, write_text


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Check that files can be written and that nothing else is lost by it, before hours of work.

    A symbolic link stands for its target. Folders that are missing are made when a file is written.

    Args:
        inputs: files and folders that the command reads.

    Raises:
        MixframeError: a file is one of the inputs or lies in one of them, exists and is no regular
            file, is read-only, is named twice, or nothing can be written at its place.
    """
    read = [path for path in inputs if os.path.exists(path)]
    files = {_identity(path) for path in read}
    folders = {path.resolve() for path in read if path.is_dir()}
    targets: set[Path] = set()
    for path in outputs:
        try:
            # A circle of links is a RuntimeError, a zero byte in a name a ValueError.
            target = path.resolve()
            exists = target.exists()
        except (OSError, RuntimeError, ValueError) as error:
            raise MixframeError(f"{path}: {_reason(error)}; choose another name") from error
        if exists and (_identity(target) in files or not folders.isdisjoint(target.parents)):
            raise MixframeError(f"{path}: is read by this command; it is not overwritten")
        if exists and not target.is_file():
            raise MixframeError(f"{path}: exists and is no regular file; choose another name")
        if target in targets:
            raise MixframeError(f"{path}: is to be written twice; give each output its own name")
        targets.add(target)
        if exists and not os.access(target, os.W_OK):
            raise MixframeError(f"{path}: is read-only; choose another name")
        _try(path, target)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _try(path: Path, target: Path) -> None:
    """Make a file as the writer will, as near to its place as there is a folder."""
    folder = target.parent
    try:
        while not folder.exists():
            folder = folder.parent
        longest = os.pathconf(folder, "PC_NAME_MAX")
        if any(len(os.fsencode(part)) > longest for part in target.parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        handle, temporary = temporary_file(target, folder)
        temporary.unlink()
        os.close(handle)
    except OSError as error:
        raise MixframeError(f"{path}: {folder}: {_reason(error)}; choose another name") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def write_output(path: Path, text: str) -> None:
    """Write `text` to a file that passed `check_outputs`, whole or not at all; links stay."""
    write_text(path.resolve(), text)
