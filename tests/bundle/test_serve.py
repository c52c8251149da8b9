"""Command serve: the page and the endpoint, over real connections to a real server."""

import io
import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from click.testing import CliRunner

from mixframe.audio.io import SAMPLE_RATE
from mixframe.bundle.analysis import Rule, analyse
from mixframe.bundle.detector import Detector
from mixframe.bundle.serve import application
from mixframe.cli import main
from tests import chromium
from tests.conftest import tone

MAX_MB, MAX_SECONDS = 0.5, 3.0
RULE = Rule(min_region=0.0, frame_prior=0.5)


@dataclass
class Served:
    """A server that runs in a thread of this process."""

    port: int
    detector: Detector
    temporary: Path

    def ask(
        self, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Message, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def upload(self, path: str, data: bytes, name: str = "a.wav") -> tuple[int, bytes]:
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = b"--b\r\n" + head.encode() + data + b"\r\n--b--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        status, _, answer = self.ask(path, body, **kind)
        return status, answer

    def raw(self, head: str, *parts: bytes) -> bytes:
        """Send bytes and return what the server answers, until it closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n")
            answer = b""
            try:
                for part in parts:
                    connection.sendall(part)
                while chunk := connection.recv(65536):
                    answer += chunk
            except (ConnectionError, TimeoutError):
                pass
            return answer


@pytest.fixture(scope="module")
def server(
    bundle: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    detector = Detector.load(bundle("mfpt"))
    app = application(detector, RULE, "127.0.0.1", MAX_MB, MAX_SECONDS)
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield Served(listening.getsockname()[1], detector, temporary)
        running.should_exit = True
        thread.join()


def wav(seconds: float, seed: int = 1) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(int(seconds * SAMPLE_RATE), seed), SAMPLE_RATE, format="WAV")
    return out.getvalue()


def test_the_endpoint_says_what_detect_says(server: Served) -> None:
    status, answer = server.upload("/detect", wav(2.0))
    assert status == 200
    expected, _ = analyse(server.detector, io.BytesIO(wav(2.0)), "a.wav", RULE)
    assert json.loads(answer) == json.loads(expected.model_dump_json())


def test_the_endpoint_describes_itself(server: Served) -> None:
    status, _, answer = server.ask("/openapi.json")
    described = json.loads(answer)
    assert status == 200
    assert set(described["paths"]) == {"/detect"}
    assert set(described["paths"]["/detect"]["post"]["responses"]) == {"200", "413", "422"}
    fields = described["components"]["schemas"]["Result"]["properties"]
    assert {"llr", "p_spoof", "decision", "regions", "warnings"} <= set(fields)
    assert server.ask("/docs")[0] == server.ask("/redoc")[0] == 404


def test_the_page_asks_for_nothing_from_elsewhere(server: Served) -> None:
    status, _, answer = server.ask("/")
    page = answer.decode()
    assert status == 200
    assert "http" not in page.replace("http-equiv", "")
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []
    assert "default-src 'none'" in page
    assert "0.5 MB and 3 s" in page


def test_a_card_has_verdict_drawing_and_sound(server: Served) -> None:
    status, answer = server.upload("/card", wav(1.0), name="<b>x.wav")
    card = answer.decode()
    assert status == 200
    assert "&lt;b&gt;x" in card
    assert "<b>x" not in card
    assert re.search(r'class="verdict (spoof|bonafide)"', card)
    assert card.count("<svg") == card.count("<audio") == 1
    _, again = server.upload("/card", wav(1.0))
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (card, again.decode())]
    assert ids[0]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a.wav: the file is empty"),
        (b"Dear diary", "a.wav: neither libsndfile nor FFmpeg can read it"),
        (wav(3 / SAMPLE_RATE), "a.wav: 3 samples"),
        (wav(1.0)[:44], "a.wav: audio without samples"),
    ],
)
def test_bad_uploads_get_a_sentence(server: Served, data: bytes, said: str) -> None:
    for path in ("/detect", "/card"):
        status, answer = server.upload(path, data)
        assert status == 422
        assert json.loads(answer)["detail"].startswith(said)


def test_a_request_without_a_file_gets_a_sentence(server: Served) -> None:
    status, _, answer = server.ask("/detect", b"{}", **{"Content-Type": "application/json"})
    assert status == 422
    assert "in the field file" in json.loads(answer)["detail"]
    status, _, answer = server.ask(
        "/detect", b"garbage", **{"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert 400 <= status < 500
    assert isinstance(json.loads(answer)["detail"], str)


def test_long_recordings_are_refused(server: Served) -> None:
    status, answer = server.upload("/detect", wav(3.5))
    assert status == 413
    assert "a.wav: longer than 3 s" in json.loads(answer)["detail"]


HEAD = """POST /detect HTTP/1.1
Host: 127.0.0.1
Content-Type: multipart/form-data; boundary=b
"""


def test_a_gigabyte_is_refused_before_it_is_sent(server: Served) -> None:
    start = time.monotonic()
    answer = server.raw(f"{HEAD}Content-Length: 1000000000\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"The upload is larger than 0.5 MB" in answer
    assert time.monotonic() - start < 15


def test_a_stream_of_unknown_length_is_cut_off(server: Served) -> None:
    part = b"--b\r\n" + b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    chunks = [b"%x\r\n%s\r\n" % (len(c), c) for c in [part, *[bytes(100_000)] * 6]]
    answer = server.raw(f"{HEAD}Transfer-Encoding: chunked\n", *chunks)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"The upload is larger than 0.5 MB" in answer
    assert server.upload("/detect", wav(0.5))[0] == 200


def test_two_at_a_time_are_both_answered(server: Served) -> None:
    answers: dict[int, tuple[int, bytes]] = {}

    def send(seed: int) -> None:
        answers[seed] = server.upload("/detect", wav(2.0, seed))

    threads = [threading.Thread(target=send, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2, 3):
        status, answer = answers[seed]
        assert status == 200
        expected, _ = analyse(server.detector, io.BytesIO(wav(2.0, seed)), "a.wav", Rule())
        assert json.loads(answer)["score"] == expected.score


def test_one_recording_at_a_time_is_heard(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    score = server.detector.score

    def counted(wave: np.ndarray) -> float:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return score(wave)

    monkeypatch.setattr(server.detector, "score", counted)
    threads = [threading.Thread(target=server.upload, args=("/detect", wav(2.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_nothing_is_kept(server: Served) -> None:
    assert server.upload("/card", wav(1.0))[0] == 200
    assert list(server.temporary.iterdir()) == []


def test_other_names_of_this_machine_are_refused(server: Served) -> None:
    assert server.ask("/", Host="evil.example")[0] == 400
    assert server.ask("/", Host=f"localhost:{server.port}")[0] == 200


def run(*arguments: object) -> str:
    ran = CliRunner().invoke(main, ["serve", *map(str, arguments)])
    assert ran.exit_code == 1
    return ran.stderr


def test_a_port_in_use_is_named(bundle: Callable[[str], Path], server: Served) -> None:
    said = run("--model", bundle("mfpt"), "--port", server.port)
    assert f"127.0.0.1, port {server.port}: " in said


def test_without_the_extra_it_says_how_to_get_it(
    bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'mixframe[serve]'" in run("--model", bundle("mfpt"))


SOUND = """(sound => sound && sound.duration)(document.querySelector(".card audio"))"""
SAID = 'document.querySelector("#status").textContent'


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(
    server: Served, browser: chromium.Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    own = f"http://127.0.0.1:{server.port}/"
    browser.open(own, width, 844, scheme)
    (tmp_path / "a.wav").write_bytes(wav(1.0))
    browser.choose("#choose", tmp_path / "a.wav")
    assert browser.wait(SOUND) == pytest.approx(1.0, abs=0.01)
    assert browser.value('document.querySelector(".verdict").textContent') in ("spoof", "bona fide")
    assert browser.value("document.documentElement.scrollWidth") == width
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    # Everything that is meant to be pressed lies inside the window.
    right = (
        "[...document.querySelectorAll('button, audio')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(browser.value(right)) <= width
    assert browser.complaints(own) == []


def test_a_region_is_played_and_no_more(
    server: Served, browser: chromium.Browser, tmp_path: Path
) -> None:
    own = f"http://127.0.0.1:{server.port}/"
    browser.open(own, 390, 844, "light")
    (tmp_path / "a.wav").write_bytes(wav(2.5))
    browser.choose("#choose", tmp_path / "a.wav")
    browser.wait(SOUND)
    start, end = browser.value(
        "(b => [Number(b.dataset.start), Number(b.dataset.end)])(document.querySelector('.play'))"
    )
    browser.value(
        """document.querySelector(".card audio").addEventListener(
          "play", event => { window.from = event.target.currentTime; })"""
    )
    browser.click(".play")
    assert browser.wait("window.from !== undefined && [window.from]") == [
        pytest.approx(start, abs=0.02)
    ]
    stopped = browser.wait("(s => s.paused && s.currentTime)(document.querySelector('audio'))")
    assert end <= stopped <= end + 0.6
    assert browser.value("document.querySelector('.playhead').hidden") is False
    assert browser.complaints(own) == []


def test_the_page_refuses_a_gigabyte_without_sending_it(
    server: Served, browser: chromium.Browser, tmp_path: Path
) -> None:
    own = f"http://127.0.0.1:{server.port}/"
    browser.open(own, 1280, 844, "light")
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(1_000_000_000)
    start = time.monotonic()
    browser.choose("#choose", tmp_path / "huge.wav")
    assert browser.wait(SAID) == "huge.wav: larger than 0.5 MB."
    assert time.monotonic() - start < 5
    methods = [p["request"]["method"] for p in browser.reported("Network.requestWillBeSent")]
    assert "POST" not in methods
    assert browser.complaints(own) == []


def test_two_pages_at_a_time_are_both_answered(
    server: Served, browser: chromium.Browser, tmp_path: Path
) -> None:
    own = f"http://127.0.0.1:{server.port}/"
    browser.open(own, 1280, 844, "light")
    (tmp_path / "a.wav").write_bytes(wav(2.0, 1))
    browser.choose("#choose", tmp_path / "a.wav")
    status, answer = server.upload("/card", wav(2.0, 2), name="b.wav")
    assert status == 200
    assert b"b.wav" in answer
    assert browser.wait("(h => h && h.textContent)(document.querySelector('.card h2'))") == "a.wav"
    assert browser.complaints(own) == []


def test_a_bad_upload_says_why_on_the_page(
    server: Served, browser: chromium.Browser, tmp_path: Path
) -> None:
    browser.open(f"http://127.0.0.1:{server.port}/", 390, 844, "dark")
    (tmp_path / "notes.wav").write_text("Dear diary")
    browser.choose("#choose", tmp_path / "notes.wav")
    browser.wait(f"{SAID}.startsWith('notes.wav: neither libsndfile nor FFmpeg')")
    assert browser.value("document.querySelectorAll('.card').length") == 0
