"""Results as a table, JSON, CSV and RTTM."""

import csv
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from mixframe.base.files import json_text
from mixframe.base.shown import cell
from mixframe.bundle.analysis import Result, Rule
from mixframe.bundle.contents import Contents

COLUMNS = (
    "file",
    "seconds",
    "rate",
    "channels",
    "score",
    "llr",
    "p_spoof",
    "decision",
    "windows",
    "regions",
    "warnings",
    "error",
)
"""Of the CSV."""

HEAD = ["file", "seconds", "score", "LLR", "P(spoof)", "decision", "spliced in, s"]
"""Of the table; the last one where there is a timeline."""
NUMBERS = HEAD[1:5]


def about(contents: Contents) -> str:
    """Return in one line what the detector was trained on and how well it does where."""
    trained = contents.trained_on
    figures = [
        f"{100 * figure.eer:.2f} % [{100 * figure.low:.2f}, {100 * figure.high:.2f}] on {name}"
        for name, figure in contents.evaluated.items()
    ]
    trainings = max((len(figure.seeds) for figure in contents.evaluated.values()), default=1)
    mean = f" (mean of {trainings} trainings)" if trainings > 1 else ""
    return (
        f"{contents.name}: trained on {', '.join(trained.corpora)} ({trained.utterances:,} "
        f"utterances; spoofs: {', '.join(trained.attacks)}); "
        f"EER{mean} {', '.join(figures) if figures else 'not measured'}"
    )


def table(results: Sequence[Result]) -> str:
    """Return a table for a terminal, and the warnings below it."""
    rows = [HEAD, *(_row(result) for result in results)]
    if all(result.regions is None for result in results):
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for cell, width, name in zip(row, widths, HEAD, strict=False)
        ]
        lines.append("  ".join(cells).rstrip())
    for result in results:
        lines += [f"{printable(result.file)}: {w.name}: {w.text}" for w in result.warnings]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Replace what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _row(result: Result) -> list[str]:
    if result.error is not None:
        return [printable(result.file), "", "", "", "", "unreadable", ""]
    return [
        printable(result.file),
        _number(result.seconds, ".2f"),
        _number(result.score, "+.2f"),
        _number(result.llr, "+.2f"),
        _number(result.p_spoof, ".3f"),
        str(result.decision),
        _spans(result, 4),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _spans(result: Result, limit: int) -> str:
    regions = result.regions or []
    spans = [f"{region.start:.2f}-{region.end:.2f}" for region in regions[:limit]]
    more = len(regions) - limit
    return " ".join([*spans, *([f"and {more} more"] if more > 0 else [])])


def json_of(
    results: Sequence[Result],
    contents: Contents,
    rule: Rule,
    under: Mapping[str, Sequence[BaseModel]] = MappingProxyType({}),
) -> str:
    """Return everything as JSON.

    Args:
        under: verdicts under distortions by file; without them the key is not there.
    """
    said = contents.model_dump(
        mode="json", include={"name", "title", "trained_on", "evaluated", "frames"}
    )
    value: dict[str, Any] = {
        "model": {**said, "threshold": contents.threshold},
        "rule": {**rule.model_dump(), "threshold": rule.threshold},
        "results": [result.model_dump() for result in results],
    }
    if under:
        value["under"] = {name: [v.model_dump() for v in of] for name, of in under.items()}
    return json_text(value)


def csv_of(results: Sequence[Result]) -> str:
    """Return a row a file; windows are counted, regions are start-end pairs in seconds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        values = result.model_dump(include=set(COLUMNS))
        values["file"] = cell(result.file)
        values["error"] = cell(result.error or "")
        values["windows"] = len(result.windows) or None
        values["regions"] = _spans(result, len(result.regions or []))
        values["warnings"] = " ".join(warned.name for warned in result.warnings)
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
    return out.getvalue()


def rttm_of(results: Sequence[Result]) -> str:
    """Return the regions as RTTM (NIST, Rich Transcription 2009): a line each.

    The speaker's name is `spoof`, the confidence the region's score. Spaces in
    file names become underscores, because they separate fields.
    """
    lines = [
        f"SPEAKER {'_'.join(result.file.split())} 1 {region.start:.3f} "
        f"{region.end - region.start:.3f} <NA> <NA> spoof {region.score:.3f} <NA>\n"
        for result in results
        for region in result.regions or []
    ]
    return "".join(lines)
