"""Downloads: resumed, verified, and refused with a reason."""

import gzip
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.corpora import fetch
from tests.answers import Answers, serving

CONTENT = hashlib.shake_256(b"corpus").digest(700_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server has, how it misbehaves, and what it was asked."""

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    knows_range: bool = True
    knows_if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    delay: float = 0.0
    asked: list[str | None] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers["Range"]
        site.asked.append(wanted)
        site.conditions.append(self.headers["If-Range"])
        time.sleep(site.delay)
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        start = 0
        validators = {site.headers.get("ETag"), site.headers.get("Last-Modified")}
        same = not site.knows_if_range or self.headers["If-Range"] in (None, *validators)
        if wanted and site.knows_range and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(site.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            last = len(site.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(site.content)}")
        else:
            self.send_response(200)
        for name, value in site.headers.items():
            self.send_header(name, value)
        body = site.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Leaving a body early closes the connection, which is what a cut looks like.
        self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with QuietServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def site(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("NO_PROXY", "*")
    fresh = Site(url=f"http://127.0.0.1:{server.server_address[1]}/a.tar")
    monkeypatch.setattr(Handler, "site", fresh, raising=False)
    return fresh


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_download_leaves_only_the_file(site: Site, tmp_path: Path) -> None:
    fetch.download(site.url, tmp_path / "new" / "a.tar", SHA256, len(CONTENT))
    assert (tmp_path / "new" / "a.tar").read_bytes() == CONTENT
    assert names(tmp_path) == ["new", "new/a.tar"]
    assert site.asked == [None]


def test_a_cut_connection_goes_on_at_the_byte_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    site.cuts = [300_000, 0, 100_000]
    fetch.download(site.url, tmp_path / "a.tar", pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-", "bytes=300000-", "bytes=400000-"]
    assert site.conditions == [None, '"one"', '"one"', '"one"']


def test_a_later_run_goes_on_where_the_first_gave_up(site: Site, tmp_path: Path) -> None:
    site.cuts = [300_000]
    with pytest.raises(MixframeError, match=r"cut.*1 attempts") as caught:
        fetch.download(site.url, tmp_path / "a.tar", attempts=1)
    assert site.url in str(caught.value)
    assert str(tmp_path / "a.tar") in str(caught.value)
    assert not (tmp_path / "a.tar").exists()
    fetch.download(site.url, tmp_path / "a.tar")
    assert site.asked == [None, "bytes=300000-"]
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.tar"]


def test_attempts_count_only_while_nothing_arrives(site: Site, tmp_path: Path) -> None:
    site.cuts = [100_000] * 6
    fetch.download(site.url, tmp_path / "a.tar", attempts=2, pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    site.cuts = [0] * 9
    site.asked.clear()
    with pytest.raises(MixframeError, match="3 attempts"):
        fetch.download(site.url, tmp_path / "b.tar", attempts=3, pause=0)
    assert len(site.asked) == 3


def test_a_server_without_ranges_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    site.knows_range = False
    site.cuts = [300_000]
    fetch.download(site.url, tmp_path / "a.tar", SHA256, pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


@pytest.mark.parametrize("knows_if_range", [True, False])
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_changed_is_not_glued(
    site: Site, tmp_path: Path, knows_if_range: bool, header: str
) -> None:
    site.knows_if_range = knows_if_range
    site.headers = {header: "Mon, 01 Jan 2024 00:00:00 GMT"}
    site.cuts = [300_000]
    with pytest.raises(MixframeError):
        fetch.download(site.url, tmp_path / "a.tar", attempts=1)
    site.headers = {header: "Tue, 02 Jan 2024 00:00:00 GMT"}
    site.content = CONTENT[::-1]
    fetch.download(site.url, tmp_path / "a.tar", pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT[::-1]
    assert names(tmp_path) == ["a.tar"]


def test_a_file_that_shrank_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    site.cuts = [300_000]
    with pytest.raises(MixframeError):
        fetch.download(site.url, tmp_path / "a.tar", attempts=1)
    site.content = CONTENT[:1000]
    fetch.download(site.url, tmp_path / "a.tar", pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
@pytest.mark.parametrize(("checksum", "asked"), [(None, None), (SHA256, "bytes=300000-")])
def test_without_a_validator_only_a_checksum_allows_to_go_on(
    site: Site, tmp_path: Path, headers: dict[str, str], checksum: str | None, asked: str | None
) -> None:
    site.headers = headers
    site.cuts = [300_000]
    fetch.download(site.url, tmp_path / "a.tar", checksum, pause=0)
    assert site.asked == [None, asked]
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_whole_part_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT)
    fetch.download(site.url, tmp_path / "a.tar", SHA256, len(CONTENT))
    assert site.asked == []
    (tmp_path / "b.tar.part").write_bytes(CONTENT)
    fetch.download(site.url, tmp_path / "b.tar", SHA256)
    assert site.asked == ["bytes=700000-"]
    assert (tmp_path / "b.tar").read_bytes() == CONTENT


def test_bytes_are_kept_as_stored_whatever_the_encoding_header_says(
    site: Site, tmp_path: Path
) -> None:
    site.content = gzip.compress(b"text" * 1000)
    site.headers = {"Content-Encoding": "gzip"}
    fetch.download(site.url, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == site.content


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 400_000), st.lists(st.integers(0, 200_000), max_size=4))
def test_any_pattern_of_cuts_gives_the_same_bytes(
    server: ThreadingHTTPServer, size: int, cuts: list[int]
) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/a.tar"
    Handler.site = Site(content=CONTENT[:size], cuts=cuts)
    with TemporaryDirectory() as folder:
        fetch.download(url, Path(folder, "a.tar"), pause=0, attempts=6)
        assert Path(folder, "a.tar").read_bytes() == CONTENT[:size]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path, algorithm: str) -> None:
    found = hashlib.new(algorithm, CONTENT).hexdigest()
    expected = "0" * len(found)
    with pytest.raises(MixframeError, match=f"{found}, expected {expected}"):
        fetch.download(site.url, tmp_path / "a.tar", f"{algorithm}:{expected}")
    assert names(tmp_path) == []
    fetch.download(site.url, tmp_path / "a.tar", f"{algorithm}:{found.upper()}")
    assert names(tmp_path) == ["a.tar"]


def test_a_wrong_size_is_refused_before_the_data_comes(site: Site, tmp_path: Path) -> None:
    with pytest.raises(MixframeError, match="700,000 bytes, expected 700,001"):
        fetch.download(site.url, tmp_path / "a.tar", n_bytes=700_001)
    assert names(tmp_path) == []


@pytest.mark.parametrize("checksum", ["sha1:" + "0" * 40, "0" * 64, "md5:0"])
def test_an_unknown_checksum_is_refused_before_the_data_comes(
    site: Site, tmp_path: Path, checksum: str
) -> None:
    with pytest.raises(MixframeError, match="neither sha256"):
        fetch.download(site.url, tmp_path / "a.tar", checksum)
    assert site.asked == []


def test_a_file_that_is_there_is_verified_and_kept(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(CONTENT)
    fetch.download(site.url, path, SHA256, len(CONTENT))
    path.write_bytes(b"mine")
    with pytest.raises(MixframeError, match=r"a\.tar: sha256 .*expected"):
        fetch.download(site.url, path, SHA256)
    assert path.read_bytes() == b"mine"
    assert site.asked == []


def test_not_found_is_asked_once_and_says_what_to_do(site: Site, tmp_path: Path) -> None:
    site.statuses = [404] * 3
    with pytest.raises(MixframeError, match="HTTP 404") as caught:
        fetch.download(site.url, tmp_path / "a.tar")
    for part in (site.url, "fetch a.tar", str(tmp_path / "a.tar")):
        assert part in str(caught.value)
    assert len(site.asked) == 1
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    fetch.download(site.url, tmp_path / "a.tar", pause=0)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    site.statuses = [503] * 9
    with pytest.raises(MixframeError, match=r"HTTP 503.*2 attempts"):
        fetch.download(site.url, tmp_path / "b.tar", pause=0, attempts=2)


def test_a_silent_server_times_out(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUTS", (1.0, 0.1))
    site.delay = 0.4
    with pytest.raises(MixframeError, match="timed out"):
        fetch.download(site.url, tmp_path / "a.tar", attempts=1)


def test_no_connection_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("no second attempt is expected"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.tar"
        with pytest.raises(MixframeError, match=r"no connection \(.*refused") as caught:
            fetch.download(url, tmp_path / "a.tar")
    assert url in str(caught.value)
    with pytest.raises(MixframeError, match="not a request"):
        fetch.download("ftp://127.0.0.1/a.tar", tmp_path / "a.tar")


def test_too_little_disk_space_is_found_before_the_data_comes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(CONTENT) - 1))
    with pytest.raises(MixframeError, match=r"a\.tar needs 1 MiB"):
        fetch.download(site.url, tmp_path / "a.tar")
    assert names(tmp_path) == []


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"n_bytes": 300_000}, "more than 300,000 bytes, its published size"),
        ({"max_bytes": 2**20}, "more than 1,048,576 bytes, the limit for this file"),
        ({}, "more than 2,000,000 bytes, half of the free disk space"),
    ],
)
def test_a_body_without_end_is_stopped_at_a_limit(
    answers: Answers,
    tmp_path: Path,
    limits: dict[str, int],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4_000_000))
    answers.head, answers.more = b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)
    with pytest.raises(MixframeError, match=message) as caught:
        fetch.download(answers.url, tmp_path / "a.tar", pause=0, **limits)  # type: ignore[arg-type]
    assert answers.url in str(caught.value)
    assert names(tmp_path) == []
    # What the socket held is sent without being asked for.
    assert answers.sent < 2**25


def test_a_size_beyond_the_limit_is_refused_before_the_body(
    answers: Answers, tmp_path: Path
) -> None:
    answers.head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    with pytest.raises(MixframeError, match="has 5,000 bytes, more than 4,999, the limit"):
        fetch.download(answers.url, tmp_path / "a.tar", pause=0, max_bytes=4_999)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"200 OK\r\nContent-Length: many\r\n", "Content-Length 'many', expected a number"),
        (b"200 OK\r\nContent-Length: -5\r\n", "Content-Length '-5', expected a number"),
        (b"200 OK\r\nContent-Length: 1_000\r\n", "Content-Length '1_000', expected a number"),
        (b"200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n", "expected a number"),
        (b"200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "no answer that can be used"),
        (b"302 Found\r\nLocation: http://[::1\r\n", "no answer that can be used"),
        (b"302 Found\r\nLocation: http://a:99999/\r\n", "that can be used"),
        (b"302 Found\r\nLocation: file:///etc/passwd\r\n", "that can be used"),
        (b"302 Found\r\nLocation: http://.example/\r\n", "that can be used"),
        (b"302 Found\r\nLocation: \xff\xfe\r\n", r"."),
        (b"200 OK\r\n" + b"A: b\r\n" * 200, "the connection was cut"),
        (b"2e5 OK\r\n", "the connection was cut"),
    ],
)
def test_answers_that_cannot_be_are_named(
    answers: Answers, tmp_path: Path, head: bytes, message: str
) -> None:
    answers.head = b"HTTP/1.1 " + head + b"\r\n"
    with pytest.raises(MixframeError, match=message) as caught:
        fetch.download(answers.url, tmp_path / "a.tar", SHA256, pause=0, attempts=2)
    assert answers.url in str(caught.value)
    assert not (tmp_path / "a.tar").exists()


def test_what_a_server_sent_is_not_repeated_at_length(answers: Answers, tmp_path: Path) -> None:
    answers.head = b"A" * 30_000 + b"\r\n\r\n"
    with pytest.raises(MixframeError, match="the connection was cut \\(AAA") as caught:
        fetch.download(answers.url, tmp_path / "a.tar", SHA256, pause=0, attempts=1)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "mark", [b"", b"{", b"null", b'["url"]', b'{"url": 1, "validator": 2}', b"\xff\xfe", b"{}"]
)
def test_a_damaged_mark_is_named(site: Site, tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:1000])
    (tmp_path / "a.tar.part.json").write_bytes(mark)
    with pytest.raises(MixframeError, match=r"a\.tar\.part\.json.*; remove it and a\.tar\.part"):
        fetch.download(site.url, tmp_path / "a.tar", SHA256, pause=0)
    assert site.asked == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.part", "a.tar.part.json"])
def test_a_folder_in_the_place_of_a_file_is_named(site: Site, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(MixframeError, match=rf"/{name}: no regular file"):
        fetch.download(site.url, tmp_path / "a.tar", SHA256, pause=0)
    assert site.asked == []


def test_a_part_that_cannot_be_written_is_named(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fetch, "write_json", refuse)
    with pytest.raises(MixframeError, match=r"a\.tar\.part: cannot be written .*Permission"):
        fetch.download(site.url, tmp_path / "a.tar", pause=0)
