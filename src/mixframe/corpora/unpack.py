"""Archives unpacked safely, and whole or not at all.

No lock is taken: a caller that may run twice at once holds `files.stage_lock`.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Self

from mixframe.base.errors import MixframeError
from mixframe.base.files import free_bytes, need_space
from mixframe.base.progress import MIB, progress_bytes

CHUNK = 128 * 1024
RATIO_APPLIES_FROM = 16 * MIB
"""Unpacked bytes below which a high compression ratio is no sign of a bomb."""
MAX_PADDING = 16 * MIB
"""Most bytes behind the end of a tar; tar itself pads to a block, by default of 10 KiB."""
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,
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


def extract(
    archive: Path,
    folder: Path,
    wanted: Callable[[str], bool] | None = None,
    max_bytes: int | None = None,
    max_ratio: float = 200.0,
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
        max_ratio: most unpacked bytes per archive byte, applied from 16 MiB on. FLAC archives are
            near 1, text below 30; a bomb is near 1,000.

    Raises:
        MixframeError: `folder` exists; the archive is cut, damaged, encrypted, of another kind or
            too large; a member has an absolute name or one with "..", is a link or a device, or
            comes twice. The message names archive and member; nothing is left.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise MixframeError(f"{folder}: already there; remove it to unpack {archive} again")
    if not archive.is_file():
        raise MixframeError(f"{archive}: no such archive")
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder.with_name(f".{folder.name}.unpacking")
    if target.exists():
        shutil.rmtree(target)
    size = archive.stat().st_size
    if wanted is None:
        need_space(folder.parent, size, f"unpacking {archive.name}")
    by_ratio = max(RATIO_APPLIES_FROM, int(max_ratio * size))
    limits = [
        (free_bytes(folder.parent), "the free disk space"),
        (by_ratio, f"{max_ratio:g} times its own size: is it a decompression bomb?"),
    ]
    if max_bytes is not None:
        limits.append((max_bytes, "the limit for this archive"))
    guard = _Guard(archive, wanted, *min(limits))
    try:
        target.mkdir()
        with archive.open("rb") as stream:
            is_zip = stream.read(4) in ZIP_STARTS
            stream.seek(0)
            write = _write_zip if is_zip else _write_tar
            progress_bytes(write(stream, target, guard), size, f"unpacking {archive.name}")
        target.replace(folder)
    except (*DAMAGE, NotImplementedError, OSError) as error:
        raise guard.refused(_reason(error)) from error
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _reason(error: Exception) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return "another member has the same name"
    if isinstance(error, NotImplementedError):
        return f"not supported ({error})"
    # bz2 and gzip report damage as an OSError without a number.
    if isinstance(error, OSError) and error.errno:
        return str(error)
    return f"cut or damaged ({str(error) or type(error).__name__})"


@dataclass
class _Guard:
    """Checks every member of an archive before it is written."""

    archive: Path
    wanted: Callable[[str], bool] | None
    allowed: int
    limit: str
    n_bytes: int = 0
    member: str = ""
    places: set[PurePosixPath] = field(default_factory=set)

    def refused(self, reason: str) -> MixframeError:
        where = f", member {self.member!r}" if self.member else ""
        return MixframeError(f"{self.archive}{where}: {reason}; nothing was unpacked")

    def accepts(self, name: str, problem: str, is_folder: bool, n_bytes: int) -> bool:
        """Tell whether to write the next member.

        Args:
            problem: what it is, if neither a file nor a folder.
            n_bytes: its size as declared; both formats yield no more than that.
        """
        self.member = name
        # Backslashes and drive letters are separators and roots on Windows only.
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or parts[0].endswith(":"):
            raise self.refused("an absolute name")
        if ".." in parts or "\0" in name:
            raise self.refused("a name that leaves the folder")
        if problem:
            raise self.refused(f"{problem}, expected only files and folders")
        if is_folder or (self.wanted is not None and not self.wanted(name)):
            return False
        place = PurePosixPath(name)
        if place in self.places:
            raise self.refused("another member has the same name")
        self.places.add(place)
        self.n_bytes += n_bytes
        if self.n_bytes > self.allowed:
            raise self.refused(f"unpacks to {self.n_bytes:,} bytes or more, over {self.limit}")
        return True


def _write_tar(stream: IO[bytes], target: Path, guard: _Guard) -> Iterator[int]:
    """Write the members that the guard accepts, yielding how many bytes of the tar were read."""
    with tarfile.open(fileobj=stream, mode="r:*", tarinfo=TarHeader) as tar:
        for info in tar:
            if guard.accepts(info.name, _tar_problem(info), info.isdir(), info.size):
                tar.extract(info, target, set_attrs=False, filter="data")
            yield stream.tell()
        # The checksum of a compressed stream comes after the padding that ends the tar.
        assert tar.fileobj is not None, "the archive is open"
        padding = 0
        while chunk := tar.fileobj.read(CHUNK):
            padding += len(chunk)
            if padding > MAX_PADDING:
                raise tarfile.ReadError(f"more than {MAX_PADDING:,} bytes follow the last member")


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to '{info.linkname}'"
    if info.issparse():
        return "a sparse file"
    return "" if info.isreg() or info.isdir() else SPECIAL


def _write_zip(stream: IO[bytes], target: Path, guard: _Guard) -> Iterator[int]:
    """Write the members that the guard accepts, yielding how many bytes of the zip were read."""
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if guard.accepts(info.filename, _zip_problem(info), info.is_dir(), info.file_size):
                size = Path(archive.extract(info, target)).stat().st_size
                if size != info.file_size:
                    raise zipfile.BadZipFile(f"{size:,} bytes, but {info.file_size:,} are declared")
            yield stream.tell()


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted"
    # The high half holds the Unix mode, if the archive was made on such a system.
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return "a link"
    return "" if mode in (0, stat.S_IFREG, stat.S_IFDIR) else SPECIAL
