"""Protocol and key files: one line a trial, read strictly, every bad line named.

The distributed files have no byte order mark, LF line ends and exactly one separator between two
fields. A file that differs was edited or damaged; it is refused and not repaired, because a lenient
reader loses trials unnoticed.

The columns of the ASVspoof releases are told here and nowhere else.
"""

from collections.abc import Mapping
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
UTTERANCE = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
"""Ids are file names without suffix."""
NO_ATTACK = ("-", "bonafide")
"""What the attack field of bona fide trials holds."""
SHOWN = 60
"""Characters of a bad line that a message repeats."""


@dataclass(frozen=True)
class Format:
    """How the lines of a protocol read.

    Attributes:
        line: the fields of a line by their names in the manifest; "_" for one that is not kept.
            utterance and label must be among them.
        separator: one character, of the file and of `line`.
        header: the first line, where the format has one.
        labels: what the label field may hold, and the manifest's word for it.
        suffix: of the file names in the utterance field, where it holds file names.
        choices: values that other fields are confined to.
    """

    line: str
    separator: str = " "
    header: str = ""
    labels: Mapping[str, str] = field(
        default_factory=lambda: {"bonafide": "bonafide", "spoof": "spoof"}
    )
    suffix: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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


def parse(
    path: Path, form: Format, n_trials: int | None = None, file_names: bool = True
) -> "pd.DataFrame":
    """Read a protocol.

    Args:
        n_trials: how many trials the file must have; None where any number will do.
        file_names: whether utterances must be names that a file can have.

    Returns:
        a row a trial in the order of the file: the columns of `form` as str, label as bonafide or
        spoof, attack "-" for bona fide, and line (int64), the number of its line.

    Raises:
        MixframeError: every problem of the file at once, each with its line.
    """
    table, problems = read(path, form, n_trials, file_names)
    if problems:
        raise MixframeError(f"{len(problems):,} problems in a protocol\n{listing(problems)}")
    return table


def read(
    path: Path, form: Format, n_trials: int | None = None, file_names: bool = True
) -> tuple["pd.DataFrame", list[str]]:
    """Read a protocol like `parse`, but return the problems; with problems the table is no use.

    Raises:
        MixframeError: the file is missing.
    """
    import pandas as pd

    data = need_file(path).read_bytes()
    problems = _bytes_problems(data)
    first_line = 1
    if not problems and form.header:
        head, _, data = data.partition(b"\n")
        first_line = 2
        if head.decode("utf-8") != form.header:
            what = f"{_short(head.decode())}, expected the header {form.header!r}"
            problems.append((1, what))
    if not problems and not data:
        problems.append((1, "no trials in the file"))
    table = pd.DataFrame()
    if not problems:
        table, problems = _fields(data, form, first_line)
        n_lines = len(table) + len(problems)
        table, empty = _without_empty(table, form)
        problems += empty + _field_problems(table, form, file_names) + _duplicates(table, form)
        if n_trials is not None and n_lines != n_trials:
            what = (
                f"the file ends after {n_lines:,} trials, expected {n_trials:,}; for another "
                "release of the corpus change `trials` in the preset"
            )
            problems.append((first_line + n_lines - 1, what))
    if problems:
        return pd.DataFrame(), [f"{path}, line {n}: {what}" for n, what in sorted(problems)]
    return _named(table, form), []


def _bytes_problems(data: bytes) -> list[Problem]:
    """Name what makes a file another format than the one distributed."""
    problems = []

    def report(place: int, what: str) -> None:
        problems.append((data.count(b"\n", 0, place) + 1, what))

    if data.startswith(b"\xef\xbb\xbf"):
        report(0, "starts with a byte order mark (BOM); save it as UTF-8 without")
    for byte, what in (
        (b"\r", "has a carriage return (CRLF line ends); convert it with dos2unix"),
        (b"\0", "has a NUL byte; the file is damaged"),
    ):
        place = data.find(byte)
        if place >= 0:
            more = data.count(byte) - 1
            report(place, what + (f", and {more:,} more of them" if more else ""))
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        report(error.start, f"byte {data[error.start]:#04x} is not UTF-8")
    return problems


def _fields(data: bytes, form: Format, first_line: int) -> tuple["pd.DataFrame", list[Problem]]:
    """Split lines into fields.

    Returns:
        the lines with the right number of fields: columns 0, 1 ... and line; and the others.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = [str(i) for i in range(len(form.columns))]
    bad: list[Problem] = []

    def refuse(row: "arrow_csv.InvalidRow") -> str:
        bad.append((row.number + first_line - 1, _wrong_count(row, form)))
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
            column_types={name: pa.string() for name in names}, strings_can_be_null=False
        ),
    )
    table = rows.to_pandas()
    every = np.arange(first_line, first_line + len(table) + len(bad))
    table["line"] = np.setdiff1d(every, [line for line, _ in bad], assume_unique=True)
    return table, bad


def _wrong_count(row: "arrow_csv.InvalidRow", form: Format) -> str:
    separator = {" ": "single spaces", ",": "commas"}[form.separator]
    spaced = form.separator == " " and row.actual_columns > row.expected_columns
    hint = "; a speaker's name with a space in it?" if spaced else ""
    return (
        f"{row.actual_columns} fields, expected {row.expected_columns} separated by {separator}: "
        f"{_short(row.text)}{hint}"
    )


def _without_empty(table: "pd.DataFrame", form: Format) -> tuple["pd.DataFrame", list[Problem]]:
    """Return the lines without an empty field, and the others as problems."""
    empty = table.drop(columns="line") == ""
    bad = empty.any(axis=1)
    problems = []
    for line, row in zip(table.loc[bad, "line"], empty[bad].to_numpy(), strict=True):
        names = [name for name, nothing in zip(form.columns, row, strict=True) if nothing]
        fields = ", ".join(f"field {form.columns.index(n) + 1} ({n})" for n in names)
        what = "blank line" if row.all() else f"{fields}: empty; two separators in a row?"
        problems.append((int(line), what))
    return table[~bad], problems


def _field_problems(table: "pd.DataFrame", form: Format, file_names: bool) -> list[Problem]:
    """Name fields that hold what they must not."""
    problems: list[Problem] = []
    lines = table["line"].to_numpy()

    def report(wrong: "np.ndarray | pd.Series", values: "pd.Series", what: str) -> None:
        picked = zip(lines[wrong], values[wrong], strict=True)
        problems.extend((int(line), what.format(_short(value))) for line, value in picked)

    field = {name: table[str(i)] for i, name in enumerate(form.columns)}
    utterance, label = field["utterance"], field["label"]
    if file_names:
        what = "utterance {} is no file name of letters, digits, '_', '-' and '.'"
        report(~utterance.str.fullmatch(UTTERANCE), utterance, what)
    if form.suffix:
        report(~utterance.str.endswith(form.suffix), utterance, f"{{}} is no {form.suffix} file")
    unknown = ~label.isin(form.labels)
    expected = f"unknown label {{}}, expected {' or '.join(form.labels)}"
    report(unknown & (lines > 1), label, expected)
    hint = "" if form.header else "; is this a header line? The format has none"
    report(unknown & (lines == 1), label, expected + hint)
    for name, choices in form.choices.items():
        among = f"unknown {name} {{}}, expected {', '.join(choices)}"
        report(~field[name].isin(choices), field[name], among)
    if "attack" in field:
        no_attack = field["attack"].isin(NO_ATTACK)
        spoof = label.map(form.labels) == "spoof"
        report(spoof & no_attack, field["attack"], "a spoof trial with the attack {}")
        real = ~spoof & ~unknown & ~no_attack
        report(real, field["attack"], "a bona fide trial with the attack {}")
    return problems


def _duplicates(table: "pd.DataFrame", form: Format) -> list[Problem]:
    names = table[str(form.columns.index("utterance"))]
    again = names.duplicated()
    if not again.any():
        return []
    first = table[~again & names.isin(names[again])]
    first_line = dict(zip(names[first.index], first["line"], strict=True))
    return [
        (int(line), f"trial {_short(name)} is on line {first_line[name]} already")
        for line, name in zip(table.loc[again, "line"], names[again], strict=True)
    ]


def _named(table: "pd.DataFrame", form: Format) -> "pd.DataFrame":
    """Name the columns and speak the manifest's language."""
    kept = {str(i): name for i, name in enumerate(form.columns) if name != SKIPPED}
    named = table[[*kept, "line"]].rename(columns=kept)
    named["label"] = named["label"].map(form.labels)
    if form.suffix:
        named["utterance"] = named["utterance"].str.removesuffix(form.suffix)
    if "attack" in named:
        named.loc[named["label"] == "bonafide", "attack"] = "-"
    return named


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
