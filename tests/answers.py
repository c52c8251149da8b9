"""A server that answers every request with given bytes, whatever they are."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import repeat


class Answers:
    """What is answered.

    Attributes:
        head: bytes sent first.
        more: bytes sent again and again until the client hangs up; b"" for none.
        url: of the server.
        sent: bytes sent over all.
    """

    def __init__(self, port: int) -> None:
        self.head, self.more, self.sent = b"", b"", 0
        self.url = f"http://127.0.0.1:{port}/a.tar"

    def answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request:
                received = connection.recv(65536)
                if not received:
                    return
                request += received
            connection.sendall(self.head)
            for part in repeat(self.more) if self.more else ():
                connection.sendall(part)
                self.sent += len(part)


@contextmanager
def serving() -> Iterator[Answers]:
    """Yield a running server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        answers, over = Answers(listening.getsockname()[1]), threading.Event()

        def serve() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    answers.answer(listening.accept()[0])

        thread = threading.Thread(target=serve)
        thread.start()
        yield answers
        over.set()
        thread.join()
