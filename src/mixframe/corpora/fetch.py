"""Downloads that resume and are verified.

No lock is taken: a caller that may run twice at once holds `files.stage_lock`.
"""

import errno
import hashlib
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mixframe.base.errors import MixframeError
from mixframe.base.files import free_bytes, need_space, read_object, write_json
from mixframe.base.progress import log, progress_bytes

if TYPE_CHECKING:
    import requests

CHUNK = 128 * 1024
TIMEOUTS = (10.0, 60.0)
"""Seconds to connect, and between two pieces of data."""
LONGEST = 500
"""Characters of what a library says of an answer: it may repeat all that a server sent."""
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that mean "later", not "never"."""
HEX_DIGITS = {"sha256": 64, "md5": 32}


def download(
    url: str,
    path: Path,
    checksum: str | None = None,
    n_bytes: int | None = None,
    attempts: int = 5,
    pause: float = 1.0,
    max_bytes: int | None = None,
) -> None:
    """Fetch `url` into `path`, going on where an earlier attempt was cut.

    Data goes to `<path>.part`, which keeps its content over interruptions and takes the name
    `path` once size and checksum are right. It is continued only if it is still the same file:
    the server's ETag or Last-Modified agrees (`If-Range`, RFC 9110 section 13.1.5), or, where the
    server sends neither, a checksum will tell. A file already at `path` is verified, never
    replaced.

    Args:
        checksum: "sha256:<hex>" or "md5:<hex>"; None or "" where none is published.
        n_bytes: expected size; None or 0 where none is published.
        attempts: how often in a row a cut connection, a time-out or a busy server may bring
            nothing. A server that cannot be reached at all is asked once.
        pause: seconds before the first repetition; doubles with each.
        max_bytes: most bytes to take where no size is published; None or 0 for half of the free
            disk space.

    Raises:
        MixframeError: no connection, an HTTP error, an answer or a redirection that cannot be
            followed, too little disk space, a place that is no regular file, or more bytes than
            allowed, a wrong size or a wrong checksum (then the data is removed). The message names
            the URL, and what to fetch by hand and where to put it.
    """
    path = Path(path)
    algorithm, _, digits = (checksum or "").partition(":")
    if checksum and HEX_DIGITS.get(algorithm) != len(digits):
        raise MixframeError(
            f"{path}: checksum '{checksum}' is neither sha256:<64 digits> nor md5:<32 digits>"
        )
    transfer = _Transfer(url, path, checksum, n_bytes, max_bytes)
    for place in (path, transfer.part, transfer.mark):
        if place.exists() and not place.is_file():
            raise MixframeError(f"{place}: no regular file; {path.name} is to be fetched there")
    if path.exists():
        verify(path, checksum, n_bytes)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    at_start = most = transfer.size
    failures = 0
    while True:
        try:
            transfer.receive()
            break
        except _CutError as error:
            failures = 1 if transfer.size > most else failures + 1
            most = max(most, transfer.size)
            if not error.connected and most == at_start:
                raise transfer.failed(str(error)) from error
            if failures >= attempts:
                raise transfer.failed(f"{error} ({attempts} attempts)") from error
            wait = pause * 2 ** (failures - 1)
            log(f"{transfer.what}: {error}; trying again in {wait:.0f} s")
        time.sleep(wait)
    problem = _problem(transfer.part, checksum, n_bytes)
    if problem:
        transfer.discard()
        raise transfer.failed(f"{problem}; the data was removed")
    transfer.part.replace(path)
    transfer.mark.unlink(missing_ok=True)


def verify(path: Path, checksum: str | None = None, n_bytes: int | None = None) -> None:
    """Check the size and checksum of a file; arguments as for `download`.

    Raises:
        MixframeError: one is wrong; the message has both values.
    """
    problem = _problem(path, checksum, n_bytes)
    if problem:
        raise MixframeError(f"{path}: {problem}; remove the file to have it fetched again")


def _problem(path: Path, checksum: str | None, n_bytes: int | None) -> str:
    size = path.stat().st_size
    if n_bytes and size != n_bytes:
        return f"{size:,} bytes, expected {n_bytes:,}"
    if not checksum:
        return ""
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as stream:
        # md5 is what some corpora publish; machines in FIPS mode refuse it without this flag.
        new = partial(hashlib.new, algorithm, usedforsecurity=False)
        actual = hashlib.file_digest(stream, new).hexdigest()
    return "" if actual == expected.lower() else f"{algorithm} {actual}, expected {expected}"


class _CutError(Exception):
    """The transfer stopped for a reason that may pass; `connected` tells if anything answered."""

    def __init__(self, reason: str, connected: bool = True) -> None:
        super().__init__(reason)
        self.connected = connected


class _EndlessError(Exception):
    """More arrived than a file may have."""


class _Transfer:
    """What is to be at `path` in the end, and what is there of it.

    Attributes:
        part: what has arrived.
        mark: JSON of the URL and the server's name for this version of the file.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        checksum: str | None,
        n_bytes: int | None,
        max_bytes: int | None,
    ) -> None:
        self.url, self.path, self.what = url, path, path.name
        self.checksum, self.n_bytes, self.max_bytes = checksum, n_bytes, max_bytes
        self.part = path.with_name(f"{path.name}.part")
        self.mark = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def failed(self, reason: str) -> MixframeError:
        check = f" ({self.checksum})" if self.checksum else ""
        return MixframeError(
            f"{self.url}: {reason}; to go on by hand, fetch {self.what}{check} elsewhere "
            f"and put it at {self.path}"
        )

    def receive(self) -> None:
        """Bring the part to its full size, or raise _CutError with what arrived kept in it."""
        # A tenth of a second to import, and every stage reads the parameters of a download.
        import requests
        from urllib3.exceptions import HTTPError, ProtocolError

        validator = self._marked()
        offset = self.size if validator or self.checksum else 0
        if self.n_bytes and offset >= self.n_bytes:
            return
        # Some servers compress on the way, or label .tar.gz files as compressed on the way.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
                start = self._start(response, offset, validator)
                if start is not None:
                    self._store(response, start)
        except ValueError as error:
            # Addresses, of redirections too, and headers that cannot be.
            raise self.failed(
                f"not a request that can be made, or no answer that can be used ({_said(error)})"
            ) from error
        except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
            # A ConnectionError around a ProtocolError is a connection that broke; any other is one
            # that was never made: refused, unknown host, connecting timed out, bad certificate.
            if isinstance(error, requests.ConnectionError) and not isinstance(
                error.args[0] if error.args else None, ProtocolError
            ):
                raise _CutError(f"no connection ({_innermost(error)})", connected=False) from error
            raise _CutError(f"the connection was cut ({_innermost(error)})") from error
        except requests.RequestException as error:
            raise self.failed(f"not a request that can be made ({_said(error)})") from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise MixframeError(f"{self.part}: cannot be written ({error})") from error
            raise MixframeError(
                f"{self.part}: no space left on the disk; what has arrived of {self.what} is "
                "kept: make room and start again"
            ) from error

    def _marked(self) -> str | None:
        """Return the server's name for the version of which the part is, if it is known."""
        if not self.mark.exists():
            return None
        try:
            mark = read_object(self.mark)
            url, validator = mark.get("url"), mark.get("validator")
            if not isinstance(url, str) or not isinstance(validator, str):
                raise MixframeError(f"{self.mark}: has no url and validator")
        except MixframeError as error:
            raise MixframeError(
                f"{error}; remove it and {self.part.name} to fetch {self.what} from its start"
            ) from error
        return validator if url == self.url else None

    def _start(
        self, response: "requests.Response", offset: int, validator: str | None
    ) -> int | None:
        """Return the place of the body in the file; None if the part is complete as it is."""
        status = response.status_code
        content_range = response.headers.get("Content-Range", "")
        if status == 200:
            if offset:
                log(f"{self.what}: the server does not go on with what is here; starting over")
            return 0
        if status == 416 and offset:
            if content_range == f"bytes */{offset}":
                return None
            self.discard()
            raise _CutError("the server has less than was fetched earlier; starting over")
        if status == 206 and offset:
            # A server that knows Range but not If-Range sends the rest of a different file.
            changed = validator and _validator(response) not in (None, validator)
            if changed or not content_range.startswith(f"bytes {offset}-"):
                self.discard()
                raise _CutError("the file has changed on the server; starting over")
            return offset
        if status in RETRIED:
            raise _CutError(f"HTTP {status} {response.reason}")
        hint = " (it may have moved)" if status in (404, 410) else ""
        raise self.failed(f"HTTP {status} {response.reason}{hint}")

    def _store(self, response: "requests.Response", start: int) -> None:
        """Write the body behind the first `start` bytes of the part."""
        length = response.headers.get("Content-Length")
        if length is not None and not re.fullmatch("[0-9]{1,18}", length):
            raise self.failed(f"Content-Length {length[:40]!r}, expected a number of bytes")
        total = None if length is None else start + int(length)
        limit, source = self._limit(start)
        if total is not None:
            if self.n_bytes and self.n_bytes != total:
                raise self.failed(
                    f"the server has {total:,} bytes, expected {self.n_bytes:,}: "
                    "the file has changed there"
                )
            if self.max_bytes and total > limit:
                raise self.failed(f"the server has {total:,} bytes, more than {limit:,}, {source}")
            need_space(self.part.parent, total - start, self.what)
            limit = total
        if start == 0:
            self.discard()
            if validator := _validator(response):
                write_json(self.mark, {"url": self.url, "validator": validator})

        def positions() -> Iterator[int]:
            with self.part.open("ab") as stream:
                # response.raw, because requests' own iterator would undo a Content-Encoding.
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    if stream.tell() + len(chunk) > limit:
                        raise _EndlessError
                    stream.write(chunk)
                    yield stream.tell()

        try:
            progress_bytes(positions(), total or self.n_bytes or 0, self.what, start)
        except _EndlessError:
            self.discard()
            raise self.failed(
                f"the server sends more than {limit:,} bytes, {source}; the data was removed"
            ) from None
        if total is not None and self.size != total:
            raise _CutError(f"{self.size:,} of {total:,} bytes arrived")

    def _limit(self, start: int) -> tuple[int, str]:
        """Return how large the part may become where the server does not say, and why."""
        if self.n_bytes:
            return self.n_bytes, "its published size"
        if self.max_bytes:
            return self.max_bytes, "the limit for this file"
        return start + free_bytes(self.part.parent) // 2, "half of the free disk space"


def _validator(response: "requests.Response") -> str | None:
    """Return what names this version of the file in an If-Range header.

    A weak ETag (W/"...") does not promise equal bytes and is not allowed there.
    """
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _innermost(error: BaseException) -> str:
    """Return the message of the first cause; the outer ones repeat it in ever longer ones."""
    while True:
        reason = getattr(error, "reason", None)
        inner = reason if isinstance(reason, BaseException) else error.__context__
        if inner is None:
            return _said(error)
        error = inner


def _said(error: BaseException) -> str:
    """Return what an error says, up to a length."""
    text = str(error) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
