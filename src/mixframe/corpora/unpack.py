"""Archives unpacked safely, and whole or not at all.

No lock is taken: a caller that may run twice at once holds `files.stage_lock`.
"""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from mixframe.base.errors import MixframeError
from mixframe.base.files import free_bytes, need_space
from mixframe.base.progress import MIB, progress_bytes

CHUNK = 128 * 1024
MAX_RATIO = 200
"""Unpacked bytes per archive byte. FLAC archives are near 1, text below 30; a bomb near 1,000."""
RATIO_APPLIES_FROM = 16 * MIB
"""Unpacked bytes below which a high compression ratio is no sign of a bomb."""
MAX_PADDING = 16 * MIB
"""Most bytes behind the end of a tar; tar itself pads to a block, by default of 10 KiB."""
MAX_NAME, MAX_DEPTH = 1000, 100
"""Characters of a member's name and parts of its path; those of the published corpora have below
200 and 10."""
MAX_SHOWN = 200
"""Most characters of a name in a message."""
MAX_HEADER = MIB
"""Most bytes of what a tar puts before a member to say more of it, a long name for instance."""
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    # Numbers and text that cannot be, and headers of headers without end.
    ValueError,
    OverflowError,
    struct.error,
    RecursionError,
)
LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
SPECIAL = "a device or another special file"


class TarHeader(tarfile.TarInfo):
    """A tar header; where tarfile takes a damaged or missing one for the end, this raises."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in the stubs
            # The block of zeros that ends every tar.
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}; the end of the archive is missing") from error

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        """Go on with a header of this type; its content is read into memory whole."""
        if self.type in LONG_HEADERS and self.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes, more than {MAX_HEADER:,}")
        return super()._proc_member(tar)  # type: ignore[misc]  # not in the stubs


def extract(
    archive: Path,
    folder: Path,
    wanted: Callable[[str], bool] | None = None,
    max_bytes: int | None = None,
) -> None:
    """Unpack the files of a tar (plain, gz, bz2, xz) or zip into a new `folder`, all or none.

    The files appear under their own names with default permissions; owners, times and empty
    folders are not restored. The whole archive is read to its end, so that a cut one is noticed
    even if all its wanted members are complete.

    Args:
        folder: must not exist. Until the end the files are in `.<name>.unpacking` beside it; what
            an interrupted attempt left there is removed first.
        wanted: called with a member's name; False leaves the member out. All members are checked.
        max_bytes: most bytes to unpack; the free disk space is always a limit.

    Raises:
        MixframeError: `folder` exists; the archive is cut, damaged, encrypted, of another kind or
            too large; a member has an absolute name, one with ".." or one beyond `MAX_NAME` and
            `MAX_DEPTH`, is a link or a device, or comes twice. The message names
            archive and member; nothing is left.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise MixframeError(f"{folder}: already there; remove it to unpack {archive} again")
    if not archive.is_file():
        raise MixframeError(f"{archive}: no such archive")
    size, free = archive.stat().st_size, free_bytes(folder.parent)
    if wanted is None:
        need_space(folder.parent, size, f"unpacking {archive.name}")
    allowed, limit = min(
        (free, "the free disk space"),
        (free if max_bytes is None else max_bytes, "the limit for this archive"),
        (
            max(RATIO_APPLIES_FROM, MAX_RATIO * size),
            f"{MAX_RATIO} times its own size: is it a decompression bomb?",
        ),
    )
    target = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(target, ignore_errors=True)
    member = ""

    def positions() -> Iterator[int]:
        nonlocal member
        unpacked = 0
        with archive.open("rb") as stream:
            is_zip = stream.read(4) in ZIP_STARTS
            stream.seek(0)
            for member, problem, n_bytes, content in (_of_zip if is_zip else _of_tar)(stream):
                if problem := _name_problem(member) or problem:
                    raise MixframeError(problem)
                if content and (wanted is None or wanted(member)):
                    unpacked += n_bytes
                    if unpacked > allowed:
                        raise MixframeError(f"unpacks to {unpacked:,} bytes or more, over {limit}")
                    (target / member).parent.mkdir(parents=True, exist_ok=True)
                    with content() as source, (target / member).open("xb") as out:
                        shutil.copyfileobj(source, out, CHUNK)
                        if out.tell() != n_bytes:
                            what = f"{out.tell():,} bytes, but {n_bytes:,} are declared"
                            raise zipfile.BadZipFile(what)
                yield stream.tell()

    try:
        target.mkdir(parents=True)
        progress_bytes(positions(), size, f"unpacking {archive.name}")
        target.replace(folder)
    except (*DAMAGE, NotImplementedError, OSError, MixframeError) as error:
        shown = member if len(member) <= MAX_SHOWN else f"{member[:MAX_SHOWN]}..."
        where = f", member {shown!r}" if member else ""
        raise MixframeError(f"{archive}{where}: {_reason(error)}; nothing was unpacked") from error
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _reason(error: Exception) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return "another member has the same name"
    if isinstance(error, NotImplementedError):
        return f"not supported ({error})"
    # bz2 and gzip report damage as an OSError without a number.
    if isinstance(error, MixframeError) or (isinstance(error, OSError) and error.errno):
        return str(error)
    return f"cut or damaged ({str(error) or type(error).__name__})"


def _name_problem(name: str) -> str:
    # Backslashes and drive letters are separators and roots on Windows only.
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":"):
        return "an absolute name"
    if len(name) > MAX_NAME or len(parts) > MAX_DEPTH:
        return (
            f"a name of {len(name):,} characters and {len(parts):,} parts, expected at most "
            f"{MAX_NAME:,} and {MAX_DEPTH}"
        )
    return "a name that leaves the folder" if ".." in parts or "\0" in name else ""


class _Member(NamedTuple):
    """A member of an archive.

    Attributes:
        problem: what it is, if neither a file nor a folder.
        n_bytes: its size as declared.
        content: opens it; None for a folder.
    """

    name: str
    problem: str
    n_bytes: int
    content: Callable[[], Any] | None


def _of_tar(stream: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=stream, mode="r:*", tarinfo=TarHeader) as tar:
        for info in tar:
            problem = "" if info.isreg() or info.isdir() else SPECIAL
            if info.issym() or info.islnk():
                problem = f"a link to '{info.linkname}'"
            elif info.issparse():
                problem = "a sparse file"
            content = None if info.isdir() else partial(tar.extractfile, info)
            yield _Member(info.name, problem, info.size, content)
        # The checksum of a compressed stream comes after the padding that ends the tar.
        assert tar.fileobj is not None, "the archive is open"
        padding = 0
        while chunk := tar.fileobj.read(CHUNK):
            padding += len(chunk)
            if padding > MAX_PADDING:
                raise tarfile.ReadError(f"more than {MAX_PADDING:,} bytes follow the last member")


def _of_zip(stream: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            # The high half holds the Unix mode, if the archive was made on such a system.
            mode = stat.S_IFMT(info.external_attr >> 16)
            problem = "" if mode in (0, stat.S_IFREG, stat.S_IFDIR) else SPECIAL
            if info.flag_bits & 1:
                problem = "encrypted"
            elif mode == stat.S_IFLNK:
                problem = "a link"
            content = None if info.is_dir() else partial(archive.open, info)
            yield _Member(info.filename, problem, info.file_size, content)
