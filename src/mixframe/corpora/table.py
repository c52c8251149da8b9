"""Any corpus whose labels stand in text files or in the names of folders, declared in a preset.

`presets/corpora/` has ready entries of published corpora. Text files may have a byte order mark and
CRLF line ends; what the preset does not expect (a word without a meaning, another number of fields,
a second trial of the same name, another number of trials) stops the run, with file and line.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mixframe.audio.io import AudioRef, TarWriter
from mixframe.audio.manifest import COLUMNS
from mixframe.base.errors import MixframeError
from mixframe.base.files import stage_lock, write_text
from mixframe.base.folders import data_root, stored
from mixframe.base.progress import log
from mixframe.base.schema import Count, Section
from mixframe.corpora import cut
from mixframe.corpora.cut import Segments
from mixframe.corpora.probe import Target, target
from mixframe.corpora.source import in_place, pin
from mixframe.corpora.trials import Audited, with_audio
from mixframe.metrics.trialfiles import BOM, NO_ATTACK, refuse

if TYPE_CHECKING:
    import pandas as pd

TABLE = "(table)"
"""The column that every table has: its own path below the folder of the corpus."""
AUDIO = "(audio)"
"""A column that every table has once `audio` is filled in."""
LISTED = "path"
"""The one column of a table that lists files."""
LEAVE_OUT = "-"
"""In place of a label or a set."""
FILLED = ("utterance", "label", "speaker", "attack", "codec", "subset", "prompt")
"""Columns of the manifest that a table may fill; it may have others, which go there as well."""
OURS = {*COLUMNS, "line", "file", "audio", "source_rate", "source_channels"} - set(FILLED)

Problem = tuple[int, str]
"""A line number and what is wrong there."""


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Expression = Annotated[str, AfterValidator(_expression)]


class Column(Section):
    """A value that stands in a column.

    Attributes:
        column: its name in the header, or its number from 1; `path` where files are listed.
            `(table)` is the path of the table, `(audio)` that of the audio.
        pattern: a regular expression that is searched for in the field; what its groups match,
            joined by "-", is the value. "" takes the whole field.
    """

    column: str | Annotated[int, Field(ge=1)]
    pattern: Expression


class Form(Section):
    """How the lines of a text file read.

    Attributes:
        delimiter: one character; " " stands for any number of spaces and tabs.
        quoting: whether fields may stand in double quotes; then they may span lines.
        header: whether the first line has the names of the columns.
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    quoting: bool
    header: bool


class Table(Section):
    """One or several files of one form, or files in folders.

    Attributes:
        form: of the lines; "files" where the table lists the audio itself.
        values: a text, the same for all trials, or where it stands. `utterance` and `label` must
            be there; other names than those of the manifest become columns of it. White space and
            slashes in an utterance's name become "_".
        audio: path of the audio below the folder of the corpus; {name} stands for a value that
            does not come from `(audio)`, or for a column by its name or number.
    """

    form: Form | Literal["files"]
    values: dict[str, str | Column]
    audio: str

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in ("utterance", "label"):
            if name not in self.values:
                raise ValueError(f"values: {name} is missing")
        for name in self.values:
            if name in OURS or not name.isidentifier():
                raise ValueError(f"values: {name!r} cannot be the name of a value")
        return self


class Download(Section):
    """A corpus that lies in a folder.

    Attributes:
        title, page, licence: of the corpus, for messages.
        path: the folder, which is only read; relative to the data root. "" for data/<corpus>.
        tables: files with labels by the name of their table, as patterns: metadata/*.csv.
        folders: audio files by the name of the table that lists them: fake/**/*.wav. Names that
            start with a dot are left out.
    """

    kind: Literal["table"]
    title: str
    page: str
    licence: str
    path: str
    tables: dict[str, list[str]]
    folders: dict[str, list[str]]


class Protocol(Audited):
    """How the rows of tables become sets of the manifest.

    Attributes:
        tables: by the names that `Download` gives them.
        labels: what a label reads, as a regular expression for the whole of it, to bonafide, spoof
            or "-", which leaves the trial out; the first that matches counts.
        sets: what the value `subset` reads ("-" where there is none) to the manifest's set, in the
            same way; "-" leaves the trial out.
        trials: expected number by set and label; what is not named is not checked.
        segments: whether trials are whole files; see `mixframe.corpora.cut`.
    """

    kind: Literal["table"]
    tables: Annotated[dict[str, Table], Field(min_length=1)]
    labels: dict[Expression, Literal["bonafide", "spoof", "-"]]
    sets: Annotated[dict[Expression, str], Field(min_length=1)]
    trials: dict[str, dict[Literal["bonafide", "spoof"], Count]]
    segments: Segments

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.trials:
            if name not in self.sets.values():
                raise ValueError(f"trials: {name!r} is no set of `sets`")
        return self


def download(params: Download, folder: Path) -> dict[str, Any]:
    """Pin the tables of a corpus, and list the files that are a table.

    Returns:
        as `located`.

    Raises:
        MixframeError: as `located`.
    """
    log(f"  {params.title}: {params.page}; licence: {params.licence}")
    with stage_lock(folder / ".lock", f"download of {params.title}"):
        root = in_place(params.path, folder) if params.path else folder
        return located(params, root, folder)


def source(params: Download, folder: Path) -> Path:
    """Return the folder of a corpus, without a link to it; `folder` is data/<corpus>."""
    return data_root() / params.path if params.path else folder


def located(params: Download, root: Path, lists: Path) -> dict[str, Any]:
    """Find the tables below the folder of a corpus.

    Args:
        lists: folder for <table>.files.txt, the lists of files.

    Returns:
        kind, title, roots with the folder alone, and files: path, bytes, sha256 and table of each
        table.

    Raises:
        MixframeError: there is no such folder, or a pattern matches nothing.
    """
    by_hand = f"fetch it from {params.page} and write its folder into the key `path` of the preset"
    if not root.is_dir():
        raise MixframeError(f"{root}: no such folder; {params.title}: {by_hand}")
    files = []
    for name, patterns in params.tables.items():
        files += [pin(path) | {"table": name} for path in _matching(root, patterns, by_hand)]
    for name, patterns in params.folders.items():
        path = lists / f"{name}.files.txt"
        names = [p.relative_to(root).as_posix() for p in _matching(root, patterns, by_hand)]
        write_text(path, "".join(f"{name}\n" for name in names))
        files.append(pin(path) | {"table": name})
    return {"kind": params.kind, "title": params.title, "roots": [stored(root)], "files": files}


def _matching(root: Path, patterns: Iterable[str], by_hand: str) -> list[Path]:
    patterns = list(patterns)
    every = {path for pattern in patterns for path in root.glob(pattern)}
    files = sorted(path for path in every if not path.name.startswith(".") and path.is_file())
    if not files:
        raise MixframeError(f"{root}: no file {' or '.join(patterns)} in it; {by_hand}")
    return files


def protocol(
    params: Protocol, seed: int, entry: dict[str, Any], audio: TarWriter, workers: int
) -> "pd.DataFrame":
    """Read the trials and the audio of a corpus; `seed` is not used.

    Args:
        entry: what `download` returned, its paths as they are on this machine.
        audio: where segments go.
        workers: processes that probe whole files.

    Returns:
        what `trials.with_audio` returns.

    Raises:
        MixframeError: as `rows` and `trials.with_audio`, or as `cut.segments`.
    """
    trials, root = rows(params, entry), Path(entry["roots"][0])
    for name, label, count in unchecked(params, trials):
        log(f"  {entry['title']}: {name}: {count:,} {label}, a number that `trials` does not hold")
    if params.segments.kind != "whole":
        return cut.segments(trials, root, params.segments, audio, entry["title"], params)
    listed = _listed(trials, root)
    trials = trials.drop(columns=["audio"])
    return with_audio([(trials, listed)], entry["title"], params, 0, workers)


def unchecked(params: Protocol, trials: "pd.DataFrame") -> list[tuple[str, str, int]]:
    """Return set, label and number of trials where `trials` of the preset expects no number."""
    counts = trials.groupby(["set", "label"]).size()
    return [
        (name, label, int(count))
        for (name, label), count in counts.items()
        if label not in params.trials.get(name, {})
    ]


def _listed(trials: "pd.DataFrame", root: Path) -> Iterator[tuple[str, Target]]:
    place = stored(root)
    for utterance, name in zip(trials["utterance"], trials["audio"], strict=True):
        path = os.path.join(root, name)
        ref = AudioRef(f"{place}/{name}")
        if os.path.isfile(path):
            yield utterance, target(ref, os.stat(path))
        elif not os.path.exists(path):
            # Probing it says which file it is that is not there.
            yield utterance, Target(ref, 0, 0)


def rows(params: Protocol, entry: dict[str, Any]) -> "pd.DataFrame":
    """Read the trials of a corpus without its audio.

    Returns:
        a row a trial that has a set, in the order of the tables: the values of the preset, as str;
        speaker ("-" if unknown); label and attack in the words of the manifest; set; audio, the
        path below the folder of the corpus; file and line, where the trial is listed.

    Raises:
        MixframeError: every problem of all tables at once, with file and line.
    """
    import pandas as pd

    root = Path(entry["roots"][0])
    problems: list[str] = []
    parts = []
    for name, table in params.tables.items():
        paths = [Path(file["path"]) for file in entry["files"] if file.get("table") == name]
        if not paths:
            raise MixframeError(
                f"{entry['title']}: `download` of the preset has no table {name!r}, or ran before "
                "it was there"
            )
        for path in paths:
            part, bad = _values(path, table, root)
            parts.append(part)
            problems += [f"{path}, line {n}: {what}" for n, what in bad]
    trials = pd.concat(parts, ignore_index=True)
    every = {column: trials[column].fillna("-") for column in trials}
    trials = trials.assign(**every)
    for column in {"subset", "speaker", "attack"} - set(trials):
        trials[column] = "-"
    problems += _translate(trials, "label", "label", params.labels, "labels")
    problems += _translate(trials, "subset", "set", params.sets, "sets")
    spoof = trials["label"] == "spoof"
    trials.loc[trials["label"] == "bonafide", "attack"] = "-"
    trials.loc[spoof & trials["attack"].isin(NO_ATTACK), "attack"] = "unknown"
    used = (trials["label"] != LEAVE_OUT) & (trials["set"] != LEAVE_OUT)
    trials = trials[used].reset_index(drop=True)
    problems += _duplicates(trials)
    if not problems:
        problems += _wrong_counts(params, trials, paths[-1])
    refuse(problems, f"the tables of {entry['title']}")
    return trials


def _wrong_counts(params: Protocol, trials: "pd.DataFrame", last: Path) -> list[str]:
    problems = []
    for name, expected in params.trials.items():
        of_set = trials[trials["set"] == name]
        place = f"{last}, line 1"
        if len(of_set):
            place = f"{of_set['file'].iloc[-1]}, line {of_set['line'].iloc[-1]}"
        for label, count in expected.items():
            actual = int((of_set["label"] == label).sum())
            if actual != count:
                problems.append(
                    f"{place}: the set {name} ends with {actual:,} {label} trials, expected "
                    f"{count:,}; for another release of the corpus change `trials` in the preset"
                )
    return problems


def _translate(
    trials: "pd.DataFrame", column: str, to: str, meanings: Mapping[str, str], key: str
) -> list[str]:
    """Write what the words of a column mean into column `to`; name lines with unknown words."""
    known: dict[str, str | None] = {}
    for word in trials[column].unique():
        matching = (m for pattern, m in meanings.items() if re.fullmatch(pattern, word))
        known[word] = next(matching, None)
    unknown = [word for word, meaning in known.items() if meaning is None]
    wrong = trials[trials[column].isin(unknown)]
    problems = [
        f"{row.file}, line {row.line}: unknown {column} {getattr(row, column)!r}; `{key}` has "
        f"{', '.join(meanings)}"
        for row in wrong.itertuples()
    ]
    trials[to] = trials[column].map(known).fillna(LEAVE_OUT)
    return problems


def _duplicates(trials: "pd.DataFrame") -> list[str]:
    again = trials["utterance"].duplicated()
    if not again.any():
        return []
    earlier = trials[~again].set_index("utterance")
    problems = []
    for row in trials[again].itertuples():
        first = earlier.loc[row.utterance]
        problems.append(
            f"{row.file}, line {row.line}: utterance {row.utterance!r} is in {first['file']}, "
            f"line {first['line']} already"
        )
    return problems


def _values(path: Path, table: Table, root: Path) -> tuple["pd.DataFrame", list[Problem]]:
    """Read the values of a table and the paths of the audio, with file and line."""
    import pandas as pd

    names, numbered, problems = _lines(path, table.form)
    lines = [line for line, _ in numbered]
    columns = dict(zip(names, zip(*(fields for _, fields in numbered), strict=True), strict=False))
    here = path.relative_to(root) if path.is_relative_to(root) else path
    columns[TABLE] = (here.as_posix(),) * len(lines)
    positions = {str(i): name for i, name in enumerate(names, start=1)}

    def column(name: str | int) -> Sequence[str]:
        key = str(name) if str(name) in columns else positions.get(str(name), "")
        if not numbered:
            return ()
        if key not in columns:
            problems.append((1, f"no column {name!r}; there are {', '.join(columns)}"))
            return ("",) * len(lines)
        return columns[key]

    values: dict[str, Sequence[str]] = {}

    def read(of_audio: bool) -> None:
        for name, value in table.values.items():
            if isinstance(value, str):
                values[name] = (value,) * len(lines)
            elif (value.column == AUDIO) == of_audio:
                values[name] = column(value.column)
                if value.pattern:
                    values[name], bad = _searched(values[name], value.pattern, lines, name)
                    problems.extend(bad)

    read(of_audio=False)
    parts = re.split(r"\{([^{}]+)\}", table.audio)
    pieces = [
        (part,) * len(lines) if i % 2 == 0 else values[part] if part in values else column(part)
        for i, part in enumerate(parts)
    ]
    columns[AUDIO] = tuple(str(PurePosixPath("".join(t))) for t in zip(*pieces, strict=True))
    read(of_audio=True)
    values["utterance"] = [re.sub(r"[\s/]+", "_", text) for text in values["utterance"]]
    named = zip(lines, values["utterance"], strict=True)
    problems += [(n, "an utterance without a name") for n, text in named if not text]
    trials = {**values, "audio": columns[AUDIO], "file": str(path), "line": lines}
    return pd.DataFrame(trials), sorted(set(problems))


def _searched(
    fields: Sequence[str], pattern: str, lines: Sequence[int], name: str
) -> tuple[list[str], list[Problem]]:
    expression, known, problems = re.compile(pattern), dict[str, str](), []
    for line, text in zip(lines, fields, strict=True):
        if text not in known:
            match = expression.search(text)
            if match is None:
                problems.append((line, f"{name}: {text!r} has nothing that matches {pattern!r}"))
            groups = match.groups("") if match else ()
            known[text] = "-".join(filter(None, groups)) or (match.group() if match else "")
    return [known[text] for text in fields], problems


def _lines(
    path: Path, form: Form | Literal["files"]
) -> tuple[list[str], list[tuple[int, list[str]]], list[Problem]]:
    """Return the names of the columns ("1", "2" ... without a header), and lines by number."""
    data = path.read_bytes().removeprefix(BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [], [(line, f"byte {data[error.start]:#04x} is not UTF-8")]
    ended = text.rstrip("\r\n").split("\n")
    plain = [line.removesuffix("\r") for line in ended]
    problems: list[Problem] = [(n, "a blank line") for n, t in enumerate(plain, 1) if not t]
    # The last line may end with the file.
    crlf = [line != bare for line, bare in zip(ended[:-1], plain[:-1], strict=True)]
    problems += [
        (n, "ends in CRLF where line 1 does not, or the other way about")
        for n, ends in enumerate(crlf, 1)
        if ends != crlf[0]
    ]
    if form == "files":
        return [LISTED], [(n, [name]) for n, name in enumerate(plain, 1) if name], problems
    numbered: list[tuple[int, list[str]]] = []
    if form.quoting:
        # A field of a corpus with transcripts can be longer than the reader's own limit.
        csv.field_size_limit(2**30)
        reader = csv.reader(plain, delimiter=form.delimiter, strict=True)
        first = 1
        try:
            for fields in reader:
                numbered.append((first, fields))
                first = reader.line_num + 1
        except csv.Error as error:
            problems.append((first, f"quoting: {error}"))
    else:
        separator = None if form.delimiter == " " else form.delimiter
        numbered = [(n, line.split(separator)) for n, line in enumerate(plain, 1)]
    numbered = [(n, fields) for n, fields in numbered if any(fields)]
    if not numbered:
        return [], [], problems or [(1, "nothing in the file")]
    names = [str(i) for i in range(1, len(numbered[0][1]) + 1)]
    if form.header:
        names = [name.strip() for name in numbered.pop(0)[1]]
        if not numbered:
            problems.append((2, "no trials below the header"))
    expected = f"expected {len(names)} separated by {form.delimiter!r}"
    for n, fields in numbered:
        if len(fields) != len(names):
            problems.append((n, f"{len(fields)} fields, {expected}"))
    return names, [(n, f) for n, f in numbered if len(f) == len(names)], problems
