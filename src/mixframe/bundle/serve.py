"""Command serve: a page and an endpoint that judge recordings, on this machine alone.

FastAPI, because the endpoint describes itself (OpenAPI) and the page stays one plain file, which
needs no script of others.
"""

import contextlib
import itertools
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixframe.bundle.detect import ABOVE_0, model_options

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mixframe.bundle.analysis import Rule
    from mixframe.bundle.detector import Detector

HERE = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""
EVERYWHERE = ("0.0.0.0", "::")


@click.command()
@model_options
@click.option("--host", default=HERE[1], show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--max-mb", type=ABOVE_0, default=50.0, show_default=True, help="Of an upload.")
@click.option("--max-seconds", type=ABOVE_0, default=600.0, show_default=True, help="Of sound.")
def serve(
    model: Path,
    device: str,
    host: str,
    port: int,
    max_mb: float,
    max_seconds: float,
    **rule: Any,
) -> None:
    """Serve a page that judges recordings, and POST /detect for programs.

    Drop a file or record with the microphone. Nothing is kept and nothing leaves the machine.
    """
    from mixframe.base.errors import MixframeError
    from mixframe.base.imports import importing

    with importing():
        try:
            import fastapi  # noqa: F401
            import python_multipart  # noqa: F401
            import uvicorn
        except ImportError as error:
            raise MixframeError(
                f"serve needs {error.name}, which is not installed: pip install 'mixframe[serve]'"
            ) from error
        from mixframe.bundle.analysis import Rule
        from mixframe.bundle.detector import Detector

    app = application(Detector.load(model, device), Rule(**rule), host, max_mb, max_seconds)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise MixframeError(f"{host}, port {port}: {error.strerror}; choose another") from error
    name = f"[{host}]" if ":" in host else host
    click.echo(f"http://{name}:{listening.getsockname()[1]}/  (Ctrl-C ends it)")
    if host not in HERE:
        click.echo("mixframe: warning: others can reach it; there is no password", err=True)
    config = uvicorn.Config(app, log_level="warning", server_header=False)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def application(
    detector: "Detector", rule: "Rule", host: str, max_mb: float, max_seconds: float
) -> "FastAPI":
    """Return the web application.

    Args:
        host: where it listens; requests that name another one are refused, so that no page of
            another site can read an answer under a name of its own.
        max_mb: largest body of a request, 10^6 bytes; refused with 413.
        max_seconds: longest recording; refused with 413. What cannot be heard gets 422.
    """
    from fastapi import FastAPI, HTTPException, Request, UploadFile
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from mixframe import __version__
    from mixframe.base.errors import MixframeError
    from mixframe.bundle import page
    from mixframe.bundle.analysis import Picture, Result, TooLong, analyse

    # The pages that show an OpenAPI description load their scripts from elsewhere.
    app = FastAPI(
        title=f"mixframe {detector.contents.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_mb=max_mb)
    hosts = ["*"] if host in EVERYWHERE else [host, *HERE]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    turn, numbers = threading.Lock(), itertools.count()
    front = page.served(detector.contents, rule, max_mb, max_seconds)

    def judged(file: UploadFile) -> tuple[Result, Picture]:
        name = Path(file.filename or "upload").name
        try:
            return analyse(detector, file.file, name, rule, max_seconds)
        except TooLong as error:
            raise HTTPException(413, str(error)) from error
        except MixframeError as error:
            raise HTTPException(422, str(error)) from error

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def get_page() -> str:
        return front

    @app.post(
        "/detect",
        summary="Judge a recording",
        responses={
            413: {"description": f"More than {max_mb:g} MB or {max_seconds:g} s"},
            422: {"description": "No recording that can be heard; `detail` says why"},
        },
    )
    def detect(file: UploadFile) -> Result:
        with turn:
            return judged(file)[0]

    @app.post("/card", response_class=HTMLResponse, include_in_schema=False)
    def card(file: UploadFile) -> str:
        with turn:
            result, seen = judged(file)
            sounds = page.players(file.file, result)
            return page.card(result, seen, sounds, number=next(numbers))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(
            {"detail": "Expected a form with the recording in the field file."}, 422
        )

    return app


class BodyLimit:
    """Refuses requests with 413 whose body is too large.

    One that says how large it is is refused before any of it is read; others when it gets too much.
    """

    def __init__(self, app: "ASGIApp", max_mb: float) -> None:
        """Put a limit of `max_mb`, 10^6 bytes, in front of an application."""
        self._app = app
        self._most = max_mb * 1_000_000
        self._said = f"The upload is larger than {max_mb:g} MB, which is the limit here."

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle a request."""
        from starlette.datastructures import Headers
        from starlette.exceptions import HTTPException
        from starlette.responses import JSONResponse

        size = 0

        async def counted() -> "Message":
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                raise HTTPException(413, self._said, {"Connection": "close"})
            return message

        said = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if said.isdecimal() and int(said) > self._most:
            answer = JSONResponse({"detail": self._said}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
        else:
            await self._app(scope, counted, send)
