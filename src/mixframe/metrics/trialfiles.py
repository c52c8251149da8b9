"""Text files with a line a trial: protocols, keys and score files, every bad line named.

Files as corpora distribute them have no byte order mark, LF line ends and exactly one separator
between two fields. One that differs was edited or damaged; it is refused and not repaired, because
a lenient reader loses trials unnoticed. In files that users make these things are evened out.

The columns of the ASVspoof releases are told here and nowhere else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import need_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow.csv as arrow_csv

Problem = tuple[int, str]
"""A line number and what is wrong there."""

SKIPPED = "_"
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
NO_ATTACK = ("-", "bonafide")
"""What the attack field of bona fide trials holds."""
SEPARATORS = {" ": "single spaces", ",": "commas", "\t": "tabs"}
BOM = b"\xef\xbb\xbf"
LARGEST_SCORE = 1e100
"""In size, of which figures are made: sums and squares of larger ones leave float64."""
SHOWN = 60
"""Characters of a bad line that a message repeats."""


@dataclass(frozen=True)
class Format:
    """How the lines of a file read.

    Attributes:
        line: the fields of a line by their names in the manifest; "_" for one that is not kept.
            An utterance is named once in a file, a label is one of `labels`, a score is a finite
            number, and only spoof has an attack.
        separator: one character, of the file and of `line`.
        header: the first line, where the format has one.
        labels: what the label field may hold, and the manifest's word for it.
        suffix: of the file names in the utterance field, where it holds file names.
        choices: values that other fields are confined to.
        distributed: whether the file must be as it was distributed, its utterances names that files
            can have; else byte order mark, CRLF line ends, runs of spaces where the separator is
            one, and blank lines at the end are accepted, and any name of an utterance.
    """

    line: str
    separator: str = " "
    header: str = ""
    labels: Mapping[str, str] = field(
        default_factory=lambda: {"bonafide": "bonafide", "spoof": "spoof"}
    )
    suffix: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    distributed: bool = True

    @property
    def columns(self) -> list[str]:
        """The names of the fields, in their order."""
        return self.line.split(self.separator)


SUBSETS = ("eval", "progress", "hidden")
"""Of the keys of 2021."""

ASVSPOOF2019_LA = Format("speaker utterance _ attack label")

ASVSPOOF2021_LA = Format(
    "speaker utterance codec transmission attack label trim subset", choices={"subset": SUBSETS}
)

ASVSPOOF2021_DF = Format(
    "speaker utterance codec source attack label trim subset"
    " vocoder task team gender_pair language",
    choices={"subset": SUBSETS},
)

ASVSPOOF5 = Format(
    "speaker utterance gender codec codec_quality codec_seed attack_tag attack label _"
)

BY_COLUMNS = {
    len(form.columns): form
    for form in (ASVSPOOF2019_LA, ASVSPOOF2021_LA, ASVSPOOF5, ASVSPOOF2021_DF)
}
"""The releases by the number of their columns, which tells them apart."""


def first_line(path: Path, what: str) -> str:
    """Return the first line of a file that should hold `what`, to tell its format by.

    Raises:
        MixframeError: the file is missing, empty or not text.
    """
    data = _even(need_file(path).read_bytes(), "")
    refuse([f"{path}, line {n}: {problem}" for n, problem in bytes_problems(data)], what)
    if not data.strip():
        raise MixframeError(f"{path}: the file is empty, expected {what}")
    return data.partition(b"\n")[0].decode()


def unknown_form(path: Path, first: str, expected: str) -> MixframeError:
    """Return the error for a file whose first line is of no known format."""
    separator = next((name for c, name in ((",", "comma"), (";", "semicolon")) if c in first), None)
    wrong = f"wrong separator ({separator}), " if separator else ""
    columns = f"{len(first.split())} columns in {_short(first)}"
    return MixframeError(f"{path}, line 1: {wrong}{columns}; expected {expected}")


def parse(
    path: Path, form: Format, n_trials: int | None = None, what: str = "a protocol"
) -> "pd.DataFrame":
    """Read a file.

    Args:
        n_trials: how many trials the file must have; None where any number will do.
        what: what the file holds, for the message.

    Returns:
        a row a trial in the order of the file: the columns of `form` as str, label as bonafide or
        spoof, attack "-" for bona fide, score as float64, and line (int64), the number of its line.

    Raises:
        MixframeError: every problem of the file at once, each with its line.
    """
    table, problems = read(path, form, n_trials)
    refuse(problems, what)
    return table


def refuse(problems: Sequence[str], what: str) -> None:
    """Raise one error with all problems, if there are any."""
    if problems:
        raise MixframeError(f"{len(problems):,} problems in {what}\n{listing(problems)}")


def read(path: Path, form: Format, n_trials: int | None = None) -> tuple["pd.DataFrame", list[str]]:
    """Read a file like `parse`, but return the problems; with problems the table is no use.

    Raises:
        MixframeError: the file is missing.
    """
    import pandas as pd

    data = need_file(path).read_bytes()
    if not form.distributed:
        data = _even(data, form.separator)
    table, first = pd.DataFrame(), 1
    problems = bytes_problems(data)
    if not problems:
        if form.header:
            head, _, data = data.partition(b"\n")
            first = 2
            if head.decode() != form.header:
                what = f"{_short(head.decode())}, expected the header {form.header!r}"
                problems.append((1, what))
        if data:
            table, wrong = _fields(data, form, first)
            n_lines = len(table) + len(wrong)
            table, empty = _without_empty(table)
            table, bad = _checked(table, form)
            problems += wrong + empty + bad
            if n_trials not in (None, n_lines):
                what = (
                    f"the file ends after {n_lines:,} trials, expected {n_trials:,}; for another "
                    "release of the corpus change `trials` in the preset"
                )
                problems.append((first + n_lines - 1, what))
        else:
            problems.append((first, "no trials in the file"))
    return table, [f"{path}, line {n}: {what}" for n, what in sorted(problems)]


def _even(data: bytes, separator: str) -> bytes:
    """Even out what editors and scripts make of line ends and spaces; lines keep their numbers."""
    data = data.removeprefix(BOM).replace(b"\r\n", b"\n")
    if separator == " ":
        data = re.sub(rb" +", b" ", data).replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")
    return data.rstrip(b"\n")


def bytes_problems(data: bytes) -> list[Problem]:
    """Name what makes a file another format than the one distributed."""
    problems = []

    def report(place: int, what: str) -> None:
        problems.append((data.count(b"\n", 0, place) + 1, what))

    if data.startswith(BOM):
        report(0, "starts with a byte order mark (BOM); save it as UTF-8 without")
    for byte, what in (
        (b"\r", "has a carriage return (CRLF line ends); convert it with dos2unix"),
        (b"\0", "has a NUL byte; the file is damaged"),
    ):
        if n_bytes := data.count(byte):
            more = f", and {n_bytes - 1:,} more of them" if n_bytes > 1 else ""
            report(data.find(byte), what + more)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        report(error.start, f"byte {data[error.start]:#04x} is not UTF-8")
    return problems


def _fields(data: bytes, form: Format, first: int) -> tuple["pd.DataFrame", list[Problem]]:
    """Split lines into fields.

    Returns:
        the lines with the right number of fields, a column each, "_0" and so on for those that are
        not kept, and line; and the other lines as problems.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = [f"_{i}" if name == SKIPPED else name for i, name in enumerate(form.columns)]
    bad: list[Problem] = []

    def refuse(row: "arrow_csv.InvalidRow") -> str:
        separator = SEPARATORS.get(form.separator, repr(form.separator))
        spaced = form.separator == " " and row.actual_columns > row.expected_columns
        hint = "; a speaker's name with a space in it?" if spaced and "speaker" in names else ""
        what = f"{row.actual_columns} fields, expected {len(names)} separated by {separator}"
        bad.append((row.number + first - 1, f"{what}: {_short(row.text)}{hint}"))
        return "skip"

    rows = arrow_csv.read_csv(
        pa.BufferReader(data),
        # Only one thread gives rows their numbers; in one block no row straddles two.
        arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        arrow_csv.ParseOptions(
            delimiter=form.separator,
            quote_char=False,
            ignore_empty_lines=False,
            invalid_row_handler=refuse,
        ),
        arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    table = rows.to_pandas()
    every = np.arange(first, first + len(table) + len(bad))
    table["line"] = np.setdiff1d(every, [line for line, _ in bad], assume_unique=True)
    return table, bad


def _without_empty(table: "pd.DataFrame") -> tuple["pd.DataFrame", list[Problem]]:
    """Return the lines without an empty field, and the others as problems."""
    empty = table.drop(columns="line") == ""
    bad = empty.any(axis=1)
    problems = []
    for line, row in zip(table.loc[bad, "line"], empty[bad].to_numpy(), strict=True):
        places = [(i, name) for i, name in enumerate(empty, start=1) if row[i - 1]]
        fields = ", ".join(f"field {i} ({name})" for i, name in places)
        what = "blank line" if row.all() else f"{fields}: empty; two separators in a row?"
        problems.append((int(line), what))
    return table[~bad], problems


def _checked(table: "pd.DataFrame", form: Format) -> tuple["pd.DataFrame", list[Problem]]:
    """Return the lines in the manifest's words, and fields that hold what they must not."""
    import numpy as np

    problems: list[Problem] = []
    table = table.drop(columns=[name for name in table if name.startswith(SKIPPED)])
    lines = table["line"].to_numpy()

    def report(wrong: "np.ndarray | pd.Series", name: str, what: str) -> None:
        picked = zip(lines[wrong], table.loc[wrong, name], strict=True)
        problems.extend((int(line), what.format(_short(value))) for line, value in picked)

    for name, choices in form.choices.items():
        among = f"unknown {name} {{}}, expected {', '.join(choices)}"
        report(~table[name].isin(choices), name, among)
    if "utterance" in table:
        utterance = table["utterance"]
        if form.distributed:
            what = "utterance {} is no file name of letters, digits, '_', '-' and '.'"
            report(~utterance.str.fullmatch(FILE_NAME), "utterance", what)
        if form.suffix:
            what = f"{{}} is no {form.suffix} file"
            report(~utterance.str.endswith(form.suffix), "utterance", what)
        problems += _duplicates(table)
        table["utterance"] = utterance.str.removesuffix(form.suffix)
    if "label" in table:
        unknown = ~table["label"].isin(form.labels)
        hint = "" if form.header else "; is this a header line? The format has none"
        for where, more in ((lines > 1, ""), (lines == 1, hint)):
            expected = f"unknown label {{}}, expected {' or '.join(form.labels)}{more}"
            report(unknown & where, "label", expected)
        table["label"] = table["label"].map(form.labels)
    if "attack" in table and "label" in table:
        no_attack, bonafide = table["attack"].isin(NO_ATTACK), table["label"] == "bonafide"
        spoof = table["label"] == "spoof"
        report(spoof & no_attack, "attack", "a spoof trial with the attack {}")
        report(bonafide & ~no_attack, "attack", "a bona fide trial with the attack {}")
        table.loc[bonafide, "attack"] = "-"
    if "score" in table:
        numbers = np.array([_number(text) for text in table["score"]], dtype=np.float64)
        report(~np.isfinite(numbers), "score", "score {}, expected a finite number")
        table["score"] = numbers
    return table, problems


def _number(text: str) -> float:
    try:
        # float() also takes digit groups ("1_000"), which no other reader of the format does.
        return float(text.replace("_", "?"))
    except ValueError:
        return float("nan")


def _duplicates(table: "pd.DataFrame") -> list[Problem]:
    again = table["utterance"].duplicated()
    if not again.any():
        return []
    earlier = table[~again].set_index("utterance")["line"]
    rows = table.loc[again, ["line", "utterance"]].itertuples(index=False)
    return [
        (int(line), f"trial {_short(name)} is on line {earlier[name]} already")
        for line, name in rows
    ]


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
