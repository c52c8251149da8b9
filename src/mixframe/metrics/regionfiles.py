"""Files that say where speech is fake, and files with scores of frames, of anybody's making.

Regions, told apart by content:

- RTTM: `SPEAKER utterance 1 start duration <NA> <NA> label <NA> <NA>`; the label is bonafide, spoof
  or nonspeech.
- LlamaPartialSpoof: `utterance duration label start-end-label ...`.
- Half-truth (HAD): `utterance start-end-T/start-end-F/... 1|0`.
- PartialEdit: `path.wav,start,end[,start,end ...],duration`; the path without .wav is the
  utterance.
- PartialSpoof: a folder of `utterance.vad` with lines `start end class`; class 0 is spoof, 1 bona
  fide, 2 non-speech. Its .npy labels are pickles, which can run code, and are never read.
- A manifest of this package (`.parquet`).

Scores of frames, higher = more bona fide:

- Lines `utterance frame score`, frames counted from 0, or `utterance start score`, starts in
  seconds; separated by a tab or spaces. With the header that names these three the second is known;
  without, integers in the first line are frames.
- `frames.parquet` of this package (columns utterance and scores).

Times in files are seconds; in memory they are whole nanoseconds, so that sums of them are exact.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file
from mixframe.metrics import trialfiles
from mixframe.metrics.detection import FloatArray, IntArray

SECOND = 10**9
"""In nanoseconds."""
SAMPLE = SECOND // 16_000
"""Of the manifest, in nanoseconds."""
SLACK = SECOND // 100
"""By how much rounded times may overlap or pass the end; what they do is cut off."""

Nonspeech = Literal["bonafide", "spoof"]
"""What labelled non-speech between two fake stretches counts as. Elsewhere it is bona fide."""

SPOOF, BONAFIDE, NONSPEECH = "spoof", "bonafide", "nonspeech"
WORDS = {word: word for word in (SPOOF, BONAFIDE, NONSPEECH)}
VAD = {"0": SPOOF, "1": BONAFIDE, "2": NONSPEECH}
HAD = {"T": BONAFIDE, "F": SPOOF}
HAD_LABELS = {"1": BONAFIDE, "0": SPOOF}
LABELS = {word: word for word in (BONAFIDE, SPOOF)}

COLUMNS = ["utterance", "label", "duration", "regions", "line"]
NUMBER = re.compile(r"\d+")


class Stretch(NamedTuple):
    """A labelled part of an utterance; start and end in nanoseconds."""

    start: int
    end: int
    kind: str


class _Wrong(Exception):
    """What is wrong with a line."""


@dataclass(frozen=True)
class FrameScores:
    """Scores of frames, utterance after utterance.

    Attributes:
        utterances: (n,) names, each once.
        counts: (n,) int64, frames of each, at least 1.
        starts: (m,) int64 nanoseconds from the beginning of the utterance, or None where frames are
            only counted.
        scores: (m,) float64, finite.
    """

    utterances: list[str]
    counts: IntArray
    starts: IntArray | None
    scores: FloatArray


def read_regions(path: Path, nonspeech: Nonspeech = "bonafide") -> pd.DataFrame:
    """Read where utterances are fake, from a file or folder of any of the forms above.

    Returns:
        a row an utterance: utterance, label (bonafide, or spoof where any part is fake), duration
        (int64 nanoseconds; 0 where the file does not say), regions (list of int nanoseconds: start,
        end, start, end ... of the fake parts, ascending and apart); of a manifest its other columns
        too, with set as subset.

    Raises:
        MixframeError: the file is missing, empty, a pickle or of no known form; or lines are wrong:
            fields, times or labels that cannot be, an utterance that comes twice. One message lists
            up to 20 of them, each with file and line.
    """
    if path.is_dir():
        table, problems = read_vad(path, nonspeech)
    elif path.suffix in (".npy", ".npz", ".pkl", ".pickle"):
        raise MixframeError(
            f"{path}: labels as pickled Python objects can run code and are not read; expected "
            "text: a folder of .vad files, RTTM, or lines 'utterance duration label "
            "start-end-label ...'"
        )
    elif path.suffix == ".parquet":
        return _of_manifest(path)
    else:
        table, problems = _form_of(path)(path, nonspeech)
    trialfiles.refuse(problems, "labels of regions")
    return table.drop(columns="line")


def _form_of(path: Path) -> "Reader":
    first = trialfiles.first_line(path, "labels of regions")
    fields = first.split()
    if fields[:1] == ["SPEAKER"]:
        return read_rttm
    if first.count(",") >= 3:
        return read_partialedit
    if len(fields) == 3 and re.search(r"-[TF](/|$)", fields[1]):
        return read_had
    if len(fields) >= 3 and fields[2] in WORDS:
        return read_llama
    raise trialfiles.unknown_form(
        path,
        first,
        "RTTM, 'utterance duration label start-end-label ...', 'utterance start-end-T/... 1', or "
        "'path.wav,start,end,duration'",
    )


def read_rttm(path: Path, nonspeech: Nonspeech = "bonafide") -> tuple[pd.DataFrame, list[str]]:
    """Read RTTM; return utterances in the order of their first lines, and problems.

    Where only fake parts are labelled the durations are not known. See `Reader`.
    """
    parts: dict[str, tuple[int, list[Stretch]]] = {}
    problems = []
    for number, line in _lines(path):
        fields = line.split()
        try:
            if len(fields) not in (9, 10) or fields[0] != "SPEAKER":
                raise _Wrong(f"{len(fields)} fields, expected SPEAKER and 8 or 9 more")
            start, length = _time(fields[3]), _time(fields[4])
            stretch = Stretch(start, start + length, _kind(fields[7], WORDS))
            parts.setdefault(fields[1], (number, []))[1].append(stretch)
        except _Wrong as wrong:
            problems.append(f"{path}, line {number}: {wrong}")
    whole = any(s.kind != SPOOF for _, stretches in parts.values() for s in stretches)
    rows = []
    for utterance, (number, stretches) in parts.items():
        duration = max(s.end for s in stretches) if whole else 0
        try:
            rows.append(_row(utterance, None, duration, sorted(stretches), nonspeech, number))
        except _Wrong as wrong:
            problems.append(f"{path}, line {number}: {utterance}: {wrong}")
    return _table(rows, path, problems)


def read_llama(path: Path, nonspeech: Nonspeech = "bonafide") -> tuple[pd.DataFrame, list[str]]:
    """Read the labels of LlamaPartialSpoof; see `Reader`."""

    def row(line: str, number: int) -> list[object]:
        fields = line.split()
        if len(fields) < 4:
            raise _Wrong(f"{len(fields)} fields, expected utterance duration label start-end-label")
        stretches = [_dashed(text, WORDS) for text in fields[3:]]
        label = _kind(fields[2], LABELS)
        return _row(fields[0], label, _time(fields[1]), stretches, nonspeech, number)

    return _read_lines(path, row)


def read_had(path: Path, nonspeech: Nonspeech = "bonafide") -> tuple[pd.DataFrame, list[str]]:
    """Read the labels of Half-truth; see `Reader`."""

    def row(line: str, number: int) -> list[object]:
        fields = line.split()
        if len(fields) != 3:
            raise _Wrong(f"{len(fields)} fields, expected utterance start-end-T/... and 1 or 0")
        stretches = [_dashed(text, HAD) for text in fields[1].split("/")]
        label = _kind(fields[2], HAD_LABELS)
        return _row(fields[0], label, stretches[-1].end, stretches, nonspeech, number)

    return _read_lines(path, row)


def read_partialedit(
    path: Path, nonspeech: Nonspeech = "bonafide"
) -> tuple[pd.DataFrame, list[str]]:
    """Read the table of PartialEdit, in which every utterance is spoof; see `Reader`."""

    def row(line: str, number: int) -> list[object]:
        name, *times = line.strip().split(",")
        if len(times) < 3 or len(times) % 2 == 0 or not name.endswith(".wav"):
            raise _Wrong(
                f"{len(times) + 1} fields, expected path.wav,start,end[,start,end ...],duration"
            )
        *borders, duration = [_time(text) for text in times]
        ends = zip(borders[::2], borders[1::2], strict=True)
        stretches = [Stretch(start, end, SPOOF) for start, end in ends]
        return _row(name.removesuffix(".wav"), SPOOF, duration, stretches, nonspeech, number)

    return _read_lines(path, row)


def read_vad(folder: Path, nonspeech: Nonspeech = "bonafide") -> tuple[pd.DataFrame, list[str]]:
    """Read every .vad file of a folder of PartialSpoof, in the order of their names.

    See `Reader`; the line of an utterance is 1.
    """
    rows, problems = [], []
    paths = sorted(folder.glob("*.vad"))
    if not paths:
        raise MixframeError(f"{folder}: no .vad files in this folder")
    for path in paths:
        stretches: list[Stretch] = []
        wrong: list[str] = []
        for number, line in _lines(path):
            fields = line.split()
            try:
                if len(fields) != 3:
                    raise _Wrong(f"{len(fields)} fields, expected start, end and class")
                start, end = _time(fields[0]), _time(fields[1])
                stretches.append(Stretch(start, end, _kind(fields[2], VAD)))
                _ordered(stretches[-2:])
            except _Wrong as error:
                wrong.append(f"{path}, line {number}: {error}")
        problems += wrong
        if not wrong:
            rows.append(_row(path.stem, None, stretches[-1].end, stretches, nonspeech, 1))
    return _table(rows, folder, problems)


Reader = Callable[[Path, Nonspeech], tuple[pd.DataFrame, list[str]]]
"""Reads labels: the columns of `read_regions` and line (int64), and problems by file and line."""

READERS: dict[str, Reader] = {
    "had": read_had,
    "llama": read_llama,
    "partialedit": read_partialedit,
    "rttm": read_rttm,
    "vad": read_vad,
}
"""By the name of the form."""


def _of_manifest(path: Path) -> pd.DataFrame:
    # pyarrow and the audio libraries, which the manifest brings, only where it is asked for.
    from mixframe.audio import manifest

    table = manifest.read_keys(need_file(path), ["samples", "regions"])
    table = table.drop(columns="subset", errors="ignore").rename(columns={"set": "subset"})
    table["duration"] = table["samples"] * SAMPLE
    rows = []
    for label, samples, flat in zip(
        table["label"], table["samples"], table["regions"], strict=True
    ):
        # A spoof of which nothing is told is fake from end to end.
        flat = flat if len(flat) or label == BONAFIDE else [0, samples]
        rows.append([int(edge) * SAMPLE for edge in flat])
    table["regions"] = rows
    return table


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers; LF or CRLF, blank ones at the end left."""
    trialfiles.first_line(path, "labels of regions")
    text = path.read_text(encoding="utf-8-sig").rstrip()
    yield from enumerate(text.split("\n"), start=1)


def _read_lines(
    path: Path, row: Callable[[str, int], list[object]]
) -> tuple[pd.DataFrame, list[str]]:
    rows, problems = [], []
    for number, line in _lines(path):
        try:
            rows.append(row(line, number))
        except _Wrong as wrong:
            problems.append(f"{path}, line {number}: {wrong}")
    return _table(rows, path, problems)


def _table(
    rows: Sequence[list[object]], path: Path, problems: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    table = pd.DataFrame(rows, columns=COLUMNS)
    again = table["utterance"].duplicated()
    lines = dict(zip(table.loc[~again, "utterance"], table.loc[~again, "line"], strict=True))
    for name, line in table.loc[again, ["utterance", "line"]].itertuples(index=False):
        problems.append(f"{path}, line {line}: {name} is on line {lines[name]} already")
    return table, problems


def _row(
    utterance: str,
    label: str | None,
    duration: int,
    stretches: Sequence[Stretch],
    nonspeech: Nonspeech,
    number: int,
) -> list[object]:
    """Return a row of `COLUMNS`; a label that is given must be that of the stretches."""
    _ordered(stretches)
    if duration and stretches[-1].end > duration + SLACK:
        raise _Wrong(f"ends at {stretches[-1].end / SECOND:g} s, after its {duration / SECOND:g} s")
    regions = fake_parts(stretches, nonspeech, duration)
    actual = SPOOF if regions else BONAFIDE
    if label not in (None, actual):
        raise _Wrong(f"the label {label} with {len(regions) // 2} fake parts")
    return [utterance, actual, duration, regions, number]


def fake_parts(stretches: Iterable[Stretch], nonspeech: Nonspeech, duration: int = 0) -> list[int]:
    """Return start, end, start, end ... of the fake parts, those that touch joined.

    Args:
        stretches: in order.
        nonspeech: whether non-speech with fake speech directly before and after it is fake.
        duration: nanoseconds after which nothing is; 0 where it is not known.
    """
    parts: list[int] = []
    silence = 0
    for start, end, kind in stretches:
        end = min(end, duration) if duration else end
        if parts:
            start = max(start, parts[-1])
        if start >= end:
            continue
        if kind == SPOOF:
            joined = bool(parts) and (start == parts[-1] or start == silence)
            if joined:
                parts[-1] = end
            else:
                parts += [start, end]
        inside = nonspeech == "spoof" and bool(parts) and start in (parts[-1], silence)
        silence = end if kind == NONSPEECH and inside else 0
    return parts


def _ordered(stretches: Sequence[Stretch]) -> None:
    for stretch in stretches:
        if stretch.end < stretch.start:
            raise _Wrong(f"{_seconds(stretch)} ends before it starts")
    for before, after in pairwise(stretches):
        if after.start < before.end - SLACK:
            raise _Wrong(f"{_seconds(after)} begins before {_seconds(before)} has ended")


def _seconds(stretch: Stretch) -> str:
    return f"{stretch.start / SECOND:g} to {stretch.end / SECOND:g} s ({stretch.kind})"


def _dashed(text: str, words: dict[str, str]) -> Stretch:
    parts = text.split("-")
    if len(parts) != 3:
        raise _Wrong(f"{text!r}, expected start-end-label")
    return Stretch(_time(parts[0]), _time(parts[1]), _kind(parts[2], words))


def _kind(word: str, words: dict[str, str]) -> str:
    if word not in words:
        raise _Wrong(f"unknown label {word!r}, expected {' or '.join(words)}")
    return words[word]


def _time(text: str) -> int:
    """Return seconds in nanoseconds."""
    try:
        seconds = float(text.replace("_", "?"))
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < 1e9:
        raise _Wrong(f"time {text!r}, expected seconds")
    return round(seconds * SECOND)


def read_frames(path: Path) -> FrameScores:
    """Read scores of frames in either of the forms above.

    Raises:
        MixframeError: the file is missing, empty, a pickle or of no known form; or lines are wrong:
            the number of fields, a score that is not a finite number, frames that do not go on,
            starts that do not rise, an utterance that comes back. The first line of each kind of
            fault is named.
    """
    if path.suffix == ".parquet":
        return _of_parquet(path)
    if path.suffix in (".npy", ".npz", ".pkl", ".pickle"):
        raise MixframeError(
            f"{path}: arrays and pickles are not read; expected lines of 'utterance frame score'"
        )
    first = trialfiles.first_line(path, "scores of frames")
    separator = "\t" if "\t" in first else " "
    fields = first.split(separator)
    headed = fields[0] == "utterance" and len(fields) == 3
    if headed and fields[1:] not in (["frame", "score"], ["start", "score"]):
        raise trialfiles.unknown_form(path, first, "the header 'utterance frame score' or 'start'")
    if len(fields) != 3:
        raise trialfiles.unknown_form(path, first, "lines of 'utterance frame score'")
    counted = fields[1] == "frame" if headed else NUMBER.fullmatch(fields[1]) is not None
    names, places, scores = _columns(path, separator, 2 if headed else 1)
    begin = 2 if headed else 1
    problems: list[str] = []

    def report(wrong: np.ndarray, what: Callable[[int], str]) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            more = f" ({int(wrong.sum()):,} lines like it)" if wrong.sum() > 1 else ""
            problems.append(f"{path}, line {row + begin}: {what(row)}{more}")

    codes, words = names
    new = np.ones(codes.size, dtype=bool)
    new[1:] = codes[1:] != codes[:-1]
    heads = np.flatnonzero(new)
    blocks = codes[heads]
    back = np.zeros(codes.size, dtype=bool)
    back[heads] = pd.Series(blocks).duplicated().to_numpy()
    report(back, lambda row: f"{words[codes[row]]} comes back after other utterances")
    report(~np.isfinite(scores), lambda row: f"score {scores[row]}, expected a finite number")
    most = trialfiles.LARGEST_SCORE
    huge = np.isfinite(scores) & (np.abs(scores) > most)
    report(huge, lambda row: f"score {scores[row]}, expected at most {most:g} in size")
    counts = np.diff(np.append(heads, codes.size))
    if counted:
        expected = np.arange(codes.size) - np.repeat(heads, counts)
        report(
            places != expected,
            lambda row: f"frame {places[row]:g} of {words[codes[row]]}, expected {expected[row]}",
        )
    else:
        # Not a number is neither above nor below, so it is caught here as well.
        rising = np.ones(codes.size, dtype=bool)
        rising[1:] = (places[1:] > places[:-1]) | new[1:]
        rising &= (places >= 0) & (places < 1e9)
        report(~rising, lambda row: f"start {places[row]:g} s, expected after the one before")
    trialfiles.refuse(problems, "scores of frames")
    starts = None if counted else np.rint(places * SECOND).astype(np.int64)
    return FrameScores([words[code] for code in blocks], counts, starts, scores)


def _columns(
    path: Path, separator: str, first: int
) -> tuple[tuple[IntArray, list[str]], FloatArray, FloatArray]:
    """Return the codes of the names of utterances with the names, and both columns of numbers."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    data = path.read_bytes().removeprefix(trialfiles.BOM).rstrip()
    if first == 2:
        data = data.partition(b"\n")[2]
    if not data:
        raise MixframeError(f"{path}, line {first}: no frames in the file")
    bad: list[str] = []

    def refuse(row: "arrow_csv.InvalidRow") -> str:
        bad.append(
            f"{path}, line {row.number + first - 1}: {row.actual_columns} fields, expected 3"
        )
        return "skip"

    def read(kind: pa.DataType) -> pa.Table:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread numbers the rows of a fault, one block gives one dictionary of names.
            arrow_csv.ReadOptions(
                column_names=["utterance", "place", "score"],
                use_threads=False,
                block_size=len(data) + 1,
            ),
            arrow_csv.ParseOptions(
                delimiter=separator,
                quote_char=False,
                ignore_empty_lines=False,
                invalid_row_handler=refuse,
            ),
            arrow_csv.ConvertOptions(
                column_types={
                    "utterance": pa.dictionary(pa.int32(), pa.string()),
                    "place": kind,
                    "score": kind,
                },
                strings_can_be_null=False,
                null_values=[],
            ),
        )

    try:
        table = read(pa.float64())
    except pa.ArrowInvalid:
        bad.clear()
        table = read(pa.string())
        for name in ("place", "score"):
            for row, text in enumerate(table[name].to_pylist()):
                if not _is_number(text):
                    bad.append(f"{path}, line {row + first}: {name} {text!r}, expected a number")
                    break
    trialfiles.refuse(bad, "scores of frames")
    names = table["utterance"].combine_chunks()
    if isinstance(names, pa.ChunkedArray):
        names = names.chunk(0)
    codes = names.indices.to_numpy().astype(np.int64)
    return (
        (codes, names.dictionary.to_pylist()),
        table["place"].to_numpy(),
        table["score"].to_numpy(),
    )


def _is_number(text: str) -> bool:
    """Tell whether Arrow takes a text for a number; Python's float takes others, such as ١٢."""
    import pyarrow as pa

    try:
        pa.scalar(text).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _of_parquet(path: Path) -> FrameScores:
    # pyarrow only where it is asked for.
    from mixframe.base.tables import read_parquet

    table = read_parquet(path, {"utterance": "text", "scores": "numbers"})
    names = table["utterance"].tolist()
    counts = np.array([len(row) for row in table["scores"]], dtype=np.int64)
    for wrong, what in (
        (table["utterance"].duplicated().to_numpy(), "comes twice"),
        (counts == 0, "has no frames"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise MixframeError(f"{path}, row {row}: {names[row]} {what}")
    scores = np.concatenate(table["scores"].to_numpy()).astype(np.float64)
    bad = ~(np.abs(scores) <= trialfiles.LARGEST_SCORE)
    if bad.any():
        row = int(np.searchsorted(np.cumsum(counts), bad.argmax(), side="right"))
        raise MixframeError(
            f"{path}, row {row}: {names[row]}: a score is NaN, infinite or above "
            f"{trialfiles.LARGEST_SCORE:g} in size"
        )
    return FrameScores(names, counts, None, scores)
