"""Downloads that resume and are verified, and archives unpacked safely and whole or not at all.

Neither function takes a lock: a caller that may run twice at once holds `files.stage_lock`.
"""

import errno
import hashlib
import json
import lzma
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Self

import requests
from urllib3.exceptions import HTTPError, ProtocolError

from mixframe.base.errors import MixframeError
from mixframe.base.files import free_bytes, need_space, write_json
from mixframe.base.progress import log, progress

MIB = 2**20
CHUNK = 128 * 1024
TIMEOUTS = (10.0, 60.0)
"""Seconds to connect, and between two pieces of data."""
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that mean "later", not "never"."""
HEX_DIGITS = {"sha256": 64, "md5": 32}
RATIO_APPLIES_FROM = 16 * MIB
"""Unpacked bytes below which a high compression ratio is no sign of a bomb."""


MAX_PADDING = 16 * MIB
"""Most bytes behind the end of a tar; tar itself pads to a block, by default of 10 KiB."""
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,
)


class _CutError(Exception):
    """The transfer stopped for a reason that may pass."""


class _NoConnectionError(Exception):
    """Nothing answered."""


@dataclass(frozen=True)
class _Wanted:
    """What is to be at `path` in the end."""

    url: str
    path: Path
    checksum: str | None
    n_bytes: int | None
    what: str

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    @property
    def mark(self) -> Path:
        """Where the server's name for this version of the file is kept, beside the part."""
        return self.path.with_name(self.path.name + ".part.json")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def failed(self, reason: str) -> MixframeError:
        check = f" ({self.checksum})" if self.checksum else ""
        return MixframeError(
            f"{self.url}: {reason}; to go on by hand, fetch {self.what}{check} elsewhere "
            f"and put it at {self.path}"
        )


def download(
    url: str,
    path: Path,
    checksum: str | None = None,
    n_bytes: int | None = None,
    what: str = "",
    attempts: int = 5,
    pause: float = 1.0,
) -> None:
    """Fetch `url` into `path`, going on where an earlier attempt was cut.

    Data goes to `<path>.part`, which keeps its content over interruptions and takes the name
    `path` once size and checksum are right. It is continued only if it is still the same file:
    the server's ETag or Last-Modified agrees (`If-Range`, RFC 9110 section 13.1.5), or, where the
    server sends neither, a checksum will tell. A file already at `path` is verified, never
    replaced.

    Args:
        checksum: "sha256:<hex>" or "md5:<hex>"; None where none is published.
        n_bytes: expected size; None where none is published.
        what: what the file is, for progress and messages; by default its name.
        attempts: how often in a row a cut connection, a time-out or a busy server may bring
            nothing. A server that cannot be reached at all is asked once.
        pause: seconds before the first repetition; doubles with each.

    Raises:
        MixframeError: no connection, an HTTP error, too little disk space, or a wrong size or
            checksum (then the data is removed). The message names the URL, and what to fetch by
            hand and where to put it.
    """
    wanted = _Wanted(url, Path(path), checksum, n_bytes, what or Path(path).name)
    if checksum is not None:
        _parsed(checksum, wanted.path)
    if wanted.path.exists():
        verify(wanted.path, checksum, n_bytes)
        return
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    at_start = most = _size(wanted.part)
    failures = 0
    while True:
        try:
            _receive(wanted)
            break
        except _NoConnectionError as error:
            if most == at_start:
                raise wanted.failed(str(error)) from error
            reason: Exception = error
        except _CutError as error:
            reason = error
        now = _size(wanted.part)
        failures = 1 if now > most else failures + 1
        most = max(most, now)
        if failures >= attempts:
            raise wanted.failed(f"{reason} ({attempts} attempts)") from reason
        wait = pause * 2 ** (failures - 1)
        log(f"{wanted.what}: {reason}; trying again in {wait:.0f} s")
        time.sleep(wait)
    problem = _problem(wanted.part, checksum, n_bytes)
    if problem:
        wanted.discard()
        raise wanted.failed(f"{problem}; the data was removed")
    wanted.part.replace(wanted.path)
    wanted.mark.unlink(missing_ok=True)


def verify(path: Path, checksum: str | None = None, n_bytes: int | None = None) -> None:
    """Check the size and checksum of a file.

    Args:
        checksum: "sha256:<hex>" or "md5:<hex>", or None.
        n_bytes: expected size, or None.

    Raises:
        MixframeError: one is wrong; the message has both values.
    """
    problem = _problem(path, checksum, n_bytes)
    if problem:
        raise MixframeError(f"{path}: {problem}; remove the file to have it fetched again")


def _problem(path: Path, checksum: str | None, n_bytes: int | None) -> str | None:
    size = path.stat().st_size
    if n_bytes is not None and size != n_bytes:
        return f"{size:,} bytes, expected {n_bytes:,}"
    if checksum is None:
        return None
    algorithm, expected = _parsed(checksum, path)
    with path.open("rb") as stream:
        # md5 is what some corpora publish; machines in FIPS mode refuse it without this flag.
        found = hashlib.file_digest(
            stream, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()
    return None if found == expected.lower() else f"{algorithm} {found}, expected {expected}"


def _parsed(checksum: str, path: Path) -> tuple[str, str]:
    algorithm, _, expected = checksum.partition(":")
    if HEX_DIGITS.get(algorithm) != len(expected):
        raise MixframeError(
            f"{path}: checksum '{checksum}' is neither sha256:<64 digits> nor md5:<32 digits>"
        )
    return algorithm, expected


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(wanted: _Wanted) -> None:
    """Bring `wanted.part` to its full size, or raise _CutError with what arrived kept in it."""
    offset = _size(wanted.part)
    validator = _read_mark(wanted)
    if offset and validator is None and wanted.checksum is None:
        offset = 0
    if wanted.n_bytes is not None and offset >= wanted.n_bytes:
        return
    # Some servers compress on the way, or label .tar.gz files as compressed on the way.
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with requests.get(wanted.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
            if _accepted(wanted, response, offset, validator):
                _store(wanted, response, offset if response.status_code == 206 else 0)
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        # A ConnectionError around a ProtocolError is a connection that broke; any other is one
        # that was never made: refused, unknown host, connecting timed out, bad certificate.
        never = isinstance(error, requests.ConnectionError) and not isinstance(
            error.args[0] if error.args else None, ProtocolError
        )
        if never:
            raise _NoConnectionError(f"no connection ({_innermost(error)})") from error
        raise _CutError(f"the connection was cut ({_innermost(error)})") from error
    except requests.RequestException as error:
        raise wanted.failed(f"not a request that can be made ({error})") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise MixframeError(
            f"{wanted.part}: no space left on the disk; what has arrived of {wanted.what} is "
            "kept: make room and start again"
        ) from error


def _accepted(
    wanted: _Wanted, response: requests.Response, offset: int, validator: str | None
) -> bool:
    """Tell whether there is a body to store; False if the part is complete as it is."""
    status = response.status_code
    if status == 200:
        if offset:
            log(f"{wanted.what}: the server does not go on with what is here; starting over")
        return True
    if status == 416 and offset:
        if response.headers.get("Content-Range", "") == f"bytes */{offset}":
            return False
        wanted.discard()
        raise _CutError("the server has less than was fetched earlier; starting over")
    if status == 206 and offset:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        # A server that knows Range but not If-Range sends the rest of a different file.
        if start != str(offset) or (validator and _validator(response) not in (None, validator)):
            wanted.discard()
            raise _CutError("the file has changed on the server; starting over")
        return True
    if status in RETRIED:
        raise _CutError(f"HTTP {status} {response.reason}")
    hint = " (it may have moved)" if status in (404, 410) else ""
    raise wanted.failed(f"HTTP {status} {response.reason}{hint}")


def _store(wanted: _Wanted, response: requests.Response, offset: int) -> None:
    """Write the body behind the first `offset` bytes of the part."""
    length = response.headers.get("Content-Length")
    total = None if length is None else offset + int(length)
    if total is not None and wanted.n_bytes not in (None, total):
        raise wanted.failed(
            f"the server has {total:,} bytes, expected {wanted.n_bytes:,}: "
            "the file has changed there"
        )
    if offset == 0:
        wanted.discard()
    if total is not None:
        need_space(wanted.part.parent, total - offset, wanted.what)
    validator = _validator(response)
    if offset == 0 and validator:
        write_json(wanted.mark, {"url": wanted.url, "validator": validator})

    def mebibytes() -> Iterator[None]:
        size, shown = offset, offset // MIB
        with wanted.part.open("ab") as stream:
            # response.raw, because requests' own iterator would undo a Content-Encoding.
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                stream.write(chunk)
                size += len(chunk)
                while shown < size // MIB:
                    shown += 1
                    yield
        if size % MIB:
            yield

    n_mebibytes = -(-(total or wanted.n_bytes or 0) // MIB)
    for _ in progress(mebibytes(), n_mebibytes, wanted.what, "MiB", initial=offset // MIB):
        pass
    if total is not None and _size(wanted.part) != total:
        raise _CutError(f"{_size(wanted.part):,} of {total:,} bytes arrived")


def _validator(response: requests.Response) -> str | None:
    """Return what names this version of the file in an If-Range header.

    A weak ETag (W/"...") does not promise equal bytes and is not allowed there.
    """
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _read_mark(wanted: _Wanted) -> str | None:
    if not wanted.mark.exists():
        return None
    mark = json.loads(wanted.mark.read_text(encoding="utf-8"))
    return mark["validator"] if mark["url"] == wanted.url else None


def _innermost(error: BaseException) -> str:
    """Return the message of the first cause; the outer ones repeat it in ever longer ones."""
    while True:
        reason = getattr(error, "reason", None)
        inner = reason if isinstance(reason, BaseException) else error.__context__
        if inner is None:
            return str(error) or type(error).__name__
        error = inner


class _Member(NamedTuple):
    """A file in an archive: its name, declared size and content."""

    name: str
    size: int
    content: IO[bytes]


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
    target = folder.parent / f".{folder.name}.unpacking"
    if target.exists():
        shutil.rmtree(target)
    size = archive.stat().st_size
    if wanted is None:
        need_space(folder.parent, size, f"unpacking {archive.name}")
    limits = [(free_bytes(folder.parent), "the free disk space")]
    if max_bytes is not None:
        limits.append((max_bytes, "the limit for this archive"))
    by_ratio = max(RATIO_APPLIES_FROM, int(max_ratio * size))
    limits.append((by_ratio, f"{max_ratio:g} times its own size: is it a decompression bomb?"))
    unpacking = _Unpacking(archive, target, wanted, *min(limits))
    try:
        with archive.open("rb") as stream:
            is_zip = stream.read(4) in ZIP_STARTS
            stream.seek(0)
            members = _zip_members(stream, unpacking) if is_zip else _tar_members(stream, unpacking)
            n_mebibytes = -(-size // MIB)
            steps = _write(unpacking, members, stream, n_mebibytes)
            for _ in progress(steps, n_mebibytes, f"unpacking {archive.name}", "MiB"):
                pass
        target.mkdir(exist_ok=True)
        target.replace(folder)
    except _DAMAGE as error:
        raise unpacking.refused(f"cut or damaged ({str(error) or type(error).__name__})") from error
    except NotImplementedError as error:
        raise unpacking.refused(f"not supported ({error})") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise unpacking.refused("another member has the same name") from error
    except OSError as error:
        # bz2 and gzip report damage as an OSError without a number.
        reason = str(error) if error.errno else f"cut or damaged ({error})"
        raise unpacking.refused(reason) from error
    finally:
        shutil.rmtree(target, ignore_errors=True)


@dataclass
class _Unpacking:
    """One run of `extract`: where it writes, how much it may, and how far it is."""

    archive: Path
    target: Path
    wanted: Callable[[str], bool] | None
    allowed: int
    limit: str
    produced: int = 0
    member: str = ""

    def refused(self, reason: str) -> MixframeError:
        where = f", member {self.member!r}" if self.member else ""
        return MixframeError(f"{self.archive}{where}: {reason}; nothing was unpacked")

    def enter(self, name: str, kind: str) -> None:
        """Check the name and kind of the member that comes next."""
        self.member = name
        # Backslashes and drive letters are separators and roots on Windows only.
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or parts[0].endswith(":"):
            raise self.refused("an absolute name")
        if ".." in parts or "\0" in name:
            raise self.refused("a name that leaves the folder")
        if kind:
            raise self.refused(f"{kind}, expected only files and folders")

    def count(self, n_bytes: int, keep: bool = True) -> None:
        """Add to the unpacked bytes, or only check that they would still be allowed."""
        total = self.produced + n_bytes
        if total > self.allowed:
            raise self.refused(f"unpacks to {total:,} bytes or more, over {self.limit}")
        self.produced = total if keep else self.produced

    def skips(self, name: str) -> bool:
        return self.wanted is not None and not self.wanted(name)


def _write(
    unpacking: _Unpacking, members: Iterator[_Member], stream: IO[bytes], n_mebibytes: int
) -> Iterator[None]:
    """Write the members, yielding once for every MiB of the archive that was read."""
    shown = 0
    for member in members:
        path = unpacking.target / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with path.open("xb") as out:
            while chunk := member.content.read(CHUNK):
                unpacking.count(len(chunk))
                written += len(chunk)
                out.write(chunk)
                while shown < min(stream.tell() // MIB, n_mebibytes):
                    shown += 1
                    yield
        if written != member.size:
            raise unpacking.refused(f"{written:,} bytes, but {member.size:,} are declared")
    yield from [None] * (n_mebibytes - shown)


def _tar_members(stream: IO[bytes], unpacking: _Unpacking) -> Iterator[_Member]:
    with tarfile.open(fileobj=stream, mode="r:*", tarinfo=TarHeader) as tar:
        for info in tar:
            unpacking.enter(info.name, _tar_kind(info))
            if info.isdir() or unpacking.skips(info.name):
                continue
            unpacking.count(info.size, keep=False)
            content = tar.extractfile(info)
            assert content is not None, "regular files have content"
            with content:
                yield _Member(info.name, info.size, content)
        # The checksum of a compressed stream comes after the padding that ends the tar.
        assert tar.fileobj is not None, "the archive is open"
        padding = 0
        while chunk := tar.fileobj.read(CHUNK):
            padding += len(chunk)
            if padding > MAX_PADDING:
                raise unpacking.refused(f"more than {MAX_PADDING:,} bytes follow the last member")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to '{info.linkname}'"
    if info.issparse():
        return "a sparse file"
    return "" if info.isreg() or info.isdir() else "a device or another special file"


def _zip_members(stream: IO[bytes], unpacking: _Unpacking) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        for info in members:
            unpacking.enter(info.filename, _zip_kind(info))
        files = [i for i in members if not i.is_dir() and not unpacking.skips(i.filename)]
        unpacking.count(sum(i.file_size for i in files), keep=False)
        for info in files:
            unpacking.member = info.filename
            with archive.open(info) as content:
                yield _Member(info.filename, info.file_size, content)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted"
    # The high half holds the Unix mode, if the archive was made on such a system.
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return "a link"
    return "" if mode in (0, stat.S_IFREG, stat.S_IFDIR) else "a device or another special file"
