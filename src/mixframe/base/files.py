"""Files written whole or not at all, content hashes, and the lock of a stage."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from mixframe.base.errors import REFUSALS, MixframeError

PARTIAL = ".partial"
"""In the name of every temporary file, before its suffix."""
LARGEST_JSON = 2**28
"""Bytes. The largest JSON here, figures of an evaluation, has some hundred thousand."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    The temporary name keeps the suffix of `path`, because writers choose the format by it. On any
    error the temporary file is removed and an earlier `path` stays as it was. What a process left
    that was killed meanwhile is removed by the next one that writes `path`.

    Raises:
        MixframeError: the disk is full, or the place is read-only, no folder, or too long a name.
    """
    path = Path(path)
    handle = temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        handle, temporary = temporary_file(path, path.parent)
        yield temporary
        # mkstemp makes files only the owner can read; results are for the whole group.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except MixframeError:
        raise
    except Exception as error:
        if _is_of_full_disk(error, path.parent):
            raise MixframeError(
                f"{path}: no space left on the disk of {path.parent} "
                f"({free_bytes(path.parent) / 2**20:.0f} MiB free); nothing was written"
            ) from error
        if isinstance(error, OSError):
            raise_refused(error, str(path))
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _is_of_full_disk(error: Exception, folder: Path) -> bool:
    """Return whether a full disk made a writer fail: torch and safetensors have own errors then."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOSPC
    return free_bytes(folder) < 2**20


def temporary_file(path: Path, folder: Path) -> tuple[int, Path]:
    """Make an empty file in `folder` with a new name that tells what it will become: `path`.

    Returns:
        its open handle, whose lock says that somebody is writing until it is closed, and its path.
    """
    handle, name = tempfile.mkstemp(
        dir=folder, prefix=f".{path.stem[:40]}.", suffix=f"{PARTIAL}{path.suffix}"
    )
    # Disks without locks keep what killed processes left.
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle, Path(name)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of `path` that no process is writing."""
    pattern = f".{glob.escape(path.stem[:40])}.????????{PARTIAL}{glob.escape(path.suffix)}"
    for temporary in path.parent.glob(pattern):
        with suppress(OSError), temporary.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink(missing_ok=True)


def raise_refused(error: OSError, what: str) -> NoReturn:
    """Raise a MixframeError about `what` if the system refuses a place, else `error` itself."""
    if error.errno not in REFUSALS:
        raise error
    raise MixframeError(f"{what}: {error.filename}: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline; floats in shortest exact form."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as indented JSON with a final newline; floats in shortest exact form."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read a JSON file of UTF-8.

    Raises:
        MixframeError: the file is missing, larger than `LARGEST_JSON`, or not JSON.
    """
    path = need_file(path)
    n_bytes = path.stat().st_size
    if n_bytes > LARGEST_JSON:
        raise MixframeError(f"{path}: {n_bytes:,} bytes, expected JSON of up to {LARGEST_JSON:,}")
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except json.JSONDecodeError as error:
        raise MixframeError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise MixframeError(f"{path}, byte {error.start}: not UTF-8, so not JSON") from error
    # Python reads no whole numbers of more than 4,300 digits, and nothing nested 1,000 deep.
    except (ValueError, RecursionError) as error:
        raise MixframeError(f"{path}: not JSON that can be read: {error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        MixframeError: as `read_json`; or it holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise MixframeError(f"{path}: holds {type(value).__name__}, expected an object, {{...}}")
    return value


def need_file(path: Path, made_by: str = "") -> Path:
    """Return `path` if it is a file.

    Raises:
        MixframeError: it is not; the message says which stage makes it, if `made_by` is given.
    """
    path = Path(path)
    if not path.is_file():
        hint = f"; the stage '{made_by}' makes it: run `dvc repro` first" if made_by else ""
        raise MixframeError(f"{path}: no such file{hint}")
    return path


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return a sha256 of a JSON-serialisable value that does not depend on key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk that holds `folder` or its nearest existing parent."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def need_space(folder: Path, n_bytes: int, what: str) -> None:
    """Check that `n_bytes` fit on the disk of `folder` before long work starts.

    Raises:
        MixframeError: they do not.
    """
    free = free_bytes(folder)
    if free < n_bytes:
        raise MixframeError(
            f"{folder}: {what} needs {n_bytes / 2**20:,.0f} MiB, "
            f"the disk has {free / 2**20:,.0f} MiB free"
        )


@contextmanager
def stage_lock(path: Path, what: str, wait: float = 0) -> Iterator[None]:
    """Hold an exclusive lock on `path` for the duration of a stage, waiting at most `wait` seconds.

    A training process can survive a killed parent and go on writing; a second one must not start
    on the same state. The lock is the operating system's, so it goes with the process that held it.

    Raises:
        MixframeError: another process holds it, or the place of the lock is read-only.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise MixframeError(
            f"{what}: another process is running this stage (lock {path}); "
            "wait for it to end, or end it"
        ) from error
    except OSError as error:
        raise_refused(error, what)
    try:
        yield
    finally:
        lock.release()
