"""Many files judged one after the other, and what is written of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import click

from mixframe.audio.distortions.distortion import Distortion
from mixframe.audio.stream import AudioStream
from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.outputs import check_outputs, write_output
from mixframe.base.progress import log, progress
from mixframe.bundle import output, page, picture, under
from mixframe.bundle.analysis import Analysis, Picture, Result, Rule
from mixframe.bundle.detector import Detector
from mixframe.bundle.inputs import STANDARD, shown

FORMATS = ("png", "svg")
"""Of drawings."""

MOST_SHOWN = 1_000_000
"""Seconds of a recording that the bar counts."""


@dataclass(frozen=True)
class Outputs:
    """Where results are written; None for nowhere.

    Attributes:
        json, csv, rttm: files, one of them may be - for standard output in place of the table.
        plot: a folder; in it a PNG and an SVG for each file.
        html: a file.
    """

    json: Path | None = None
    csv: Path | None = None
    rttm: Path | None = None
    plot: Path | None = None
    html: Path | None = None

    @property
    def standard(self) -> list[str]:
        """What goes to standard output."""
        return [kind for kind in ("json", "csv", "rttm") if str(getattr(self, kind)) == STANDARD]

    def check(self, files: Sequence[Path]) -> None:
        """Check that nothing is written over a recording or a device, before hours of work.

        Raises:
            MixframeError: it would be, or two outputs have the same place.
        """
        if len(self.standard) > 1:
            raise MixframeError(f"--{' and --'.join(self.standard)} both go to standard output")
        texts = {kind: getattr(self, kind) for kind in ("json", "csv", "rttm", "html")}
        kept = [path for kind, path in texts.items() if path and kind not in self.standard]
        drawings = self.drawings(files)
        check_outputs([*kept, *(path for pair in drawings for path in pair)], files)

    def drawings(self, files: Sequence[Path]) -> list[list[Path]]:
        """Return the PNG and the SVG of each file; equal names are numbered."""
        if self.plot is None:
            return [[] for _ in files]
        pairs: list[list[Path]] = []
        seen: dict[str, int] = {}
        for file in files:
            seen[file.name] = seen.get(file.name, 0) + 1
            number = f"-{seen[file.name]}" if seen[file.name] > 1 else ""
            pairs.append([self.plot / f"{file.name}{number}.{suffix}" for suffix in FORMATS])
        return pairs


def run(
    detector: Detector,
    files: Sequence[Path],
    rule: Rule,
    outputs: Outputs,
    conditions: Mapping[str, Distortion] = MappingProxyType({}),
) -> list[Result]:
    """Judge files, write what was asked for and print the rest.

    Args:
        conditions: distortions under which files are judged as well; JSON and standard output say
            how.

    Returns:
        the results in the order of the files.
    """
    if outputs.rttm is not None and not detector.has_frames:
        raise MixframeError(
            f"{detector.contents.name}: without a frame classifier there are no regions for --rttm"
        )
    results: list[Result] = []
    cards: list[str] = []
    for file, drawings, (result, seen) in zip(
        files, outputs.drawings(files), _judged(detector, files, rule), strict=True
    ):
        results.append(result)
        if result.error is not None:
            log(f"mixframe: {output.printable(result.error)}")
        if seen is not None and drawings:
            _draw(result, seen, drawings)
        if outputs.html is not None:
            cards.append(_card(file, result, seen, len(cards)))
    verdicts = under.verdicts(detector, files, rule, conditions, results) if conditions else {}
    made: dict[str, Callable[[], str]] = {
        "json": lambda: output.json_of(results, detector.contents, rule, verdicts),
        "csv": lambda: output.csv_of(results),
        "rttm": lambda: output.rttm_of(results),
        "html": lambda: page.whole(cards, detector.contents, rule),
    }
    for kind, make in made.items():
        if kind in outputs.standard:
            click.echo(make(), nl=False)
        elif (path := getattr(outputs, kind)) is not None:
            write_output(path, make())
    if not outputs.standard:
        click.echo(output.table(results))
        if conditions:
            click.echo(under.text_of(results, verdicts))
        click.echo(output.about(detector.contents))
    return results


def _judged(
    detector: Detector, files: Sequence[Path], rule: Rule
) -> Iterator[tuple[Result, Picture | None]]:
    """Judge one file after the other under one bar, whose unit is a second of sound."""
    lengths = [_seconds(file) for file in files]
    total = sum(lengths)
    judged: list[tuple[Result, Picture | None]] = []

    def seconds() -> Iterator[None]:
        """Hear everything; yield once for each second that is done."""
        for file, length in zip(files, lengths, strict=True):
            done = 0
            for at in _judge(detector, file, rule, judged):
                yield from [None] * (min(int(at), length) - done)
                done = max(done, min(int(at), length))
            yield from [None] * (length - done)

    for _ in progress(seconds(), total, "detect", "s"):
        yield from judged
        judged.clear()
    yield from judged


def _seconds(file: Path) -> int:
    """Return the whole seconds that a file says it has; 0 where it cannot be read.

    Damaged headers say anything, so there is a limit: it is for the bar alone.
    """
    if not file.is_file():
        return 0
    try:
        with file.open("rb") as stream:
            return min(MOST_SHOWN, int(AudioStream(stream, shown(file)).seconds or 0))
    except (MixframeError, OSError):
        return 0


def _judge(
    detector: Detector, file: Path, rule: Rule, judged: list[tuple[Result, Picture | None]]
) -> Iterator[float]:
    """Hear a file and put what is said of it into `judged`; yield the seconds heard."""
    name = shown(file)
    try:
        if not file.is_file():
            what = "no regular file" if file.exists() else "no such file"
            raise MixframeError(
                f"{name}: {'a folder without a recording' if file.is_dir() else what}"
            )
        with file.open("rb") as stream:
            analysis = Analysis(detector, stream, name, rule)
            yield from analysis.steps()
        judged.append((analysis.result(), analysis.picture()))
    except MixframeError as error:
        judged.append((Result(file=name, error=str(error)), None))
    except OSError as error:
        judged.append((Result(file=name, error=f"{name}: {error.strerror}"), None))


def _draw(result: Result, seen: Picture, paths: Sequence[Path]) -> None:
    drawn = picture.encoded(picture.draw_recording(result, seen))
    for path in paths:
        with atomic_path(path.resolve()) as temporary:
            temporary.write_bytes(drawn[path.suffix])


def _card(file: Path, result: Result, seen: Picture | None, number: int) -> str:
    if seen is None:
        return page.card(result, None, [], number)
    with file.open("rb") as stream:
        return page.card(result, seen, page.players(stream, result), number)
