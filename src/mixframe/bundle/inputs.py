"""The files that a command names: folders walked, a list read."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_SUFFIXES = """
.3gp .aac .ac3 .aif .aifc .aiff .amr .au .avi .caf .flac .flv .gsm .m4a .m4b .m4v .mka .mkv .mov
.mp2 .mp3 .mp4 .mpeg .mpg .mts .oga .ogg .ogv .opus .ra .rf64 .sph .spx .ts .voc .w64 .wav .weba
.webm .wma .wmv .wv
"""
SUFFIXES = frozenset(_SUFFIXES.split())
"""What is heard of a folder; a file that is named itself may have any name."""

STANDARD = "-"
"""Standard input or output in the place of a file."""


def listed(names: Iterable[str], lines: Iterable[bytes]) -> Iterator[Path]:
    """Yield the files that names stand for, each once.

    Args:
        names: files, folders, or - for a name a line.
        lines: of standard input; a zero byte ends a name as well (`find -print0`).

    Yields:
        files as they were named, those of a folder (and the folders below) by name. Names that
        begin with a dot are passed over in folders, and links to folders are not followed. A
        folder without a recording is yielded itself.
    """
    seen: set[Path] = set()
    for name in names:
        for given in _names(lines) if name == STANDARD else [name]:
            for path in _walked(Path(given)):
                if path not in seen:
                    seen.add(path)
                    yield path


def _names(lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        yield from (os.fsdecode(name) for name in line.rstrip(b"\r\n").split(b"\0") if name)


def _walked(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    empty = True
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                empty = False
                yield Path(folder, name)
    if empty:
        yield path


def shown(path: Path) -> str:
    """Return a path as text; bytes of its name that are no UTF-8 are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")
