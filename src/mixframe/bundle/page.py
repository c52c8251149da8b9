"""Results as HTML that asks for nothing from elsewhere: for --html, and for the served page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import mixframe.report
from mixframe.audio.io import encode_flac
from mixframe.bundle import output, picture
from mixframe.bundle.analysis import Picture, Result, Rule, excerpts
from mixframe.bundle.contents import Contents
from mixframe.report import draw
from mixframe.report.render import inline_svg, shown

WHOLE_SECONDS = 60.0
"""Up to here a page has the recording as a whole, of longer ones the parts worth hearing."""

CONTEXT_SECONDS, MOST_SECONDS, MOST_PARTS = 0.5, 20.0, 20
"""Of a part: sound before and after the region, longest duration, and how many there are."""


@dataclass(frozen=True)
class Player:
    """Sound on a page.

    Attributes:
        start, end: seconds of the recording.
        address: FLAC as a data: address.
    """

    start: float
    end: float
    address: str


def players(file: BinaryIO, result: Result) -> list[Player]:
    """Decode a recording again for the page: the whole of it, or the parts worth hearing.

    These are its regions, or without any the window of the lowest score.
    """
    seconds = result.seconds or 0.0
    if seconds <= WHOLE_SECONDS:
        spans = [(0.0, seconds)]
    elif result.regions:
        spans = [
            (
                max(0.0, region.start - CONTEXT_SECONDS),
                min(seconds, region.end + CONTEXT_SECONDS, region.start + MOST_SECONDS),
            )
            for region in result.regions[:MOST_PARTS]
        ]
    else:
        lowest = min(result.windows, key=lambda window: window.score)
        spans = [(lowest.start, min(lowest.end, lowest.start + MOST_SECONDS))]
    parts = excerpts(file, result.file, spans)
    return [
        Player(start, end, _address(encode_flac(part)))
        for (start, end), part in zip(spans, parts, strict=True)
    ]


def _address(flac: bytes) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(flac).decode()}"


def card(result: Result, seen: Picture | None, sounds: Sequence[Player], number: int = 0) -> Markup:
    """Return one result as a part of a page.

    Args:
        seen: None where the file could not be read.
        number: sets the ids of its drawing apart from those of other cards of the page.
    """
    drawing = None
    if seen is not None:
        svg = draw.to_svg(picture.draw_recording(result, seen), text=True)
        label = "Waveform, spectrogram and, with a frame classifier, the curve of the frames"
        drawing = inline_svg(svg, f"r{number}", label)
    template = _environment().get_template("card.html.j2")
    return Markup(
        template.render(
            result=result, drawing=drawing, sounds=sounds, track=picture.TRACK, number=number
        )
    )


def whole(cards: Sequence[str], contents: Contents, rule: Rule) -> str:
    """Return a page with cards."""
    return _page("results.html.j2", contents, rule, cards=cards)


def served(contents: Contents, rule: Rule, max_mb: float, max_seconds: float) -> str:
    """Return the page that takes recordings and shows a card for each."""
    return _page("serve.html.j2", contents, rule, max_mb=max_mb, max_seconds=max_seconds)


def _page(name: str, contents: Contents, rule: Rule, **values: object) -> str:
    template = _environment().get_template(name)
    return template.render(contents=contents, about=output.about(contents), rule=rule, **values)


@cache
def _environment() -> Environment:
    folders = [Path(__file__).parent, Path(mixframe.report.__file__).parent]
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
