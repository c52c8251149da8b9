"""Score files and keys in the formats of the ASVspoof challenges.

Read by content, not by name:

- ASVspoof 5: tab-separated, header `filename<TAB>cm-score`; keys `filename<TAB>cm-label`.
- 2021: `trial score`, separated by spaces, no header.
- 2019: `utterance attack key score`, separated by spaces, no header (attack `-` for bona fide).

Written in the ASVspoof 5 format. In memory a file is a table with the columns `trial` and `score`,
or `trial` and `label`, in the order of the file.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path, need_file

LABELS = ("bonafide", "spoof")

ScoreFormat = Literal["asvspoof5", "2021", "2019"]

_SCORE_HEADER = "filename\tcm-score"
_KEY_HEADER = "filename\tcm-label"
_EXPECTED = (
    "expected a tab-separated file with the header 'filename<TAB>cm-score', lines of "
    "'trial score', or lines of 'utterance attack key score'"
)
_NAMED = 5
"""Trials named in a message about many."""


def read_scores(path: Path) -> pd.DataFrame:
    """Read a score file in any of the three formats.

    Args:
        path: the file, UTF-8.

    Returns:
        Columns `trial` (str) and `score` (float64, finite); of a 2019 file also `attack` and
        `label` (str). One row a line, in file order, trials unique.

    Raises:
        MixframeError: the file is missing, empty or not text; or lines are wrong: separator,
            number of columns, header missing, score not a finite number, label unknown, trial
            repeated. One message lists up to 20 of them as file:line (from 1).
    """
    lines = text_lines(path, "scores")
    kind, first = _score_format(path, lines)
    problems = Problems(path)
    if kind == "asvspoof5":
        first = _check_header(lines[0], _SCORE_HEADER, problems)
    trials: list[str] = []
    scores: list[float] = []
    attacks: list[str] = []
    labels: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[first:], start=first + 1):
        parts = _split(line, kind, number, problems)
        if parts is None:
            continue
        problems.check_trial(parts[0], number, seen)
        trials.append(parts[0])
        scores.append(problems.check_score(parts[-1], number))
        if kind == "2019":
            attacks.append(parts[1])
            labels.append(problems.check_label(parts[2], number))
    problems.raise_any()
    table = pd.DataFrame({"trial": trials, "score": scores})
    return table.assign(attack=attacks, label=labels) if kind == "2019" else table


def score_format(path: Path) -> ScoreFormat:
    """Return the format of a score file, told by its first line.

    Raises:
        MixframeError: the file is missing or empty, or its first line fits no format.
    """
    return _score_format(path, text_lines(path, "scores"))[0]


def read_keys(path: Path) -> pd.DataFrame:
    """Read a key file: header `filename<TAB>cm-label`, labels `bonafide` or `spoof`.

    Returns:
        Columns `trial` and `label` (str), one row a line, in file order, trials unique.

    Raises:
        MixframeError: as `read_scores`.
    """
    lines = text_lines(path, "keys")
    problems = Problems(path)
    first = _check_header(lines[0], _KEY_HEADER, problems)
    trials: list[str] = []
    labels: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[first:], start=first + 1):
        parts = _split(line, "asvspoof5", number, problems)
        if parts is None:
            continue
        problems.check_trial(parts[0], number, seen)
        trials.append(parts[0])
        labels.append(problems.check_label(parts[1], number))
    problems.raise_any()
    return pd.DataFrame({"trial": trials, "label": labels})


def write_scores(path: Path, trials: Sequence[str], scores: ArrayLike) -> None:
    """Write scores in the ASVspoof 5 format, whole or not at all.

    Args:
        path: the file.
        trials: n trial names, unique, without tabs and line breaks.
        scores: (n,) finite scores. Each is written as the shortest decimal that reads back as the
            same float64.

    Raises:
        MixframeError: nothing to write, a length differs, a trial is empty, repeated or breaks
            the format, or a score is NaN or infinite.
    """
    values = np.asarray(scores, dtype=np.float64)
    _check_trials(path, trials, values.shape)
    finite = np.isfinite(values).tolist()
    bad = [trial for trial, is_good in zip(trials, finite, strict=True) if not is_good]
    if bad:
        text = f"of {values.size} scores are NaN or infinite"
        raise MixframeError(f"{path}: not written: {named(bad, text)}")
    _write(path, _SCORE_HEADER, trials, [repr(v) for v in values.tolist()])


def write_keys(path: Path, trials: Sequence[str], labels: Sequence[str]) -> None:
    """Write keys in the ASVspoof 5 format, whole or not at all.

    Args:
        path: the file.
        trials: n trial names, unique, without tabs and line breaks.
        labels: n labels, each `bonafide` or `spoof`.

    Raises:
        MixframeError: nothing to write, a length differs, a trial is empty, repeated or breaks
            the format, or a label is unknown.
    """
    _check_trials(path, trials, (len(labels),))
    for trial, label in zip(trials, labels, strict=True):
        if label not in LABELS:
            raise MixframeError(
                f"{path}: not written: label {label!r} of trial {trial!r}, "
                "expected bonafide or spoof"
            )
    _write(path, _KEY_HEADER, trials, labels)


def align(scores: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """Join scores and keys, refusing anything but exactly one score a trial.

    Args:
        scores: columns `trial` and `score`; a column `label` (2019 format) must agree with the
            keys.
        keys: columns `trial` and `label`; further columns are kept.

    Returns:
        The keys, in their order, with the column `score` (float64).

    Raises:
        MixframeError: trials without a score, scores without a trial, repeated trials, labels
            that disagree (up to five named, with the count), a label other than bonafide and
            spoof, a class without a trial, or a score that is NaN or infinite.
    """
    problems = []
    for table, name in ((scores, "scores"), (keys, "keys")):
        repeated = table.loc[table["trial"].duplicated(), "trial"].drop_duplicates()
        if len(repeated):
            problems.append(named(repeated, f"trials are more than once in the {name}"))
    for have, want, text in (
        (scores, keys, "trials of the keys have no score"),
        (keys, scores, "scores are for trials that are not in the keys"),
    ):
        # A set of str: `Series.isin` takes seconds on Arrow strings of this many distinct values.
        known = set(have["trial"].tolist())
        absent = [trial for trial in want["trial"].tolist() if trial not in known]
        if absent:
            problems.append(named(absent, text))
    unknown = keys.loc[~keys["label"].isin(LABELS), "label"].unique()
    if len(unknown):
        problems.append(f"label {unknown[0]!r} in the keys, expected bonafide or spoof")
    for label in LABELS:
        if not (keys["label"] == label).any():
            problems.append(f"0 {label} trials among {len(keys)} in the keys, expected at least 1")
    infinite = scores.loc[~np.isfinite(scores["score"].to_numpy(np.float64)), "trial"]
    if len(infinite):
        problems.append(named(infinite, "scores are NaN or infinite"))
    _refuse(problems)
    by_trial = scores.set_index("trial").reindex(keys["trial"])
    if "label" in scores:
        differ = by_trial["label"].to_numpy() != keys["label"].to_numpy()
        if differ.any():
            text = "labels of the score file are not those of the keys"
            _refuse([named(keys.loc[differ, "trial"], text)])
    return keys.assign(score=by_trial["score"].to_numpy(np.float64))


def by_class(aligned: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bona fide and the spoof scores of an aligned table, in its order."""
    scores, labels = aligned["score"].to_numpy(np.float64), aligned["label"].to_numpy()
    return scores[labels == "bonafide"], scores[labels == "spoof"]


def sign_warning(eer: float) -> str | None:
    """Return a warning for an EER above 0.5, None otherwise.

    Args:
        eer: a fraction.
    """
    if eer <= 0.5:
        return None
    return (
        f"EER {100 * eer:.2f} % is above 50 %: the sign of the scores may be swapped; "
        "a higher score must mean more bona fide"
    )


class Problems:
    """The problems of one file, each with its line, raised together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[str] = []

    def add(self, number: int, text: str) -> None:
        """Note a problem of a line, counted from 1."""
        self.found.append(f"{self.path}:{number}: {text}")

    def check_trial(self, trial: str, number: int, seen: dict[str, int]) -> None:
        """Note an empty or repeated trial; `seen` has the line of every earlier one."""
        if not trial:
            self.add(number, "trial name is empty")
        earlier = seen.setdefault(trial, number)
        if earlier != number:
            self.add(number, f"duplicate trial {trial!r}, first on line {earlier}")

    def check_score(self, text: str, number: int) -> float:
        """Return a score, noting one that is not a finite number."""
        try:
            # float() also takes digit groups ("1_000"), which no other reader of the format does.
            value = float(text.replace("_", "?"))
        except ValueError:
            self.add(number, f"score {text!r} is not a number")
            return math.nan
        if not math.isfinite(value):
            kind = "NaN" if math.isnan(value) else "infinite"
            self.add(number, f"score {text!r} is {kind}, expected a finite number")
        return value

    def check_label(self, label: str, number: int) -> str:
        """Return a label, noting one that is neither bonafide nor spoof."""
        if label not in LABELS:
            self.add(number, f"label {label!r}, expected bonafide or spoof")
        return label

    def raise_any(self) -> None:
        """Raise one error with all problems noted, if there are any."""
        if self.found:
            count = "1 problem" if len(self.found) == 1 else f"{len(self.found)} problems"
            raise MixframeError(f"{self.path}: {count}:\n{listing(self.found)}")


def text_lines(path: Path, what: str) -> list[str]:
    """Return the lines of a text file.

    Args:
        what: what the file should hold, for the message.

    Raises:
        MixframeError: the file is missing, empty, empty below its header, or not UTF-8.
    """
    try:
        text = need_file(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MixframeError(
            f"{path}: not UTF-8 text (byte {error.start}), expected a file of {what}"
        ) from error
    lines = text.rstrip().split("\n") if text.strip() else []
    if not lines:
        raise MixframeError(f"{path}: the file is empty, expected {what}")
    if len(lines) == 1 and lines[0] in (_SCORE_HEADER, _KEY_HEADER):
        raise MixframeError(f"{path}: the file is empty below its header, expected {what}")
    return lines


def _score_format(path: Path, lines: list[str]) -> tuple[ScoreFormat, int]:
    """Return the format and the number of header lines, by the first line."""
    line = lines[0]
    if _is_header(line):
        return "asvspoof5", 1
    if line.count("\t") == 1:
        return "asvspoof5", 0
    n_columns = len(line.split())
    if "\t" not in line and n_columns == 2:
        return "2021", 0
    if "\t" not in line and n_columns == 4:
        return "2019", 0
    separator = next((name for c, name in ((",", "comma"), (";", "semicolon")) if c in line), None)
    found = f"wrong separator ({separator})" if separator else f"{n_columns} columns"
    raise MixframeError(f"{path}:1: {found} in {line[:80]!r}; {_EXPECTED}")


def _is_header(line: str) -> bool:
    return re.split(r"[\s,;]", line)[0] == "filename"


def _check_header(line: str, header: str, problems: Problems) -> int:
    """Return the number of header lines, 0 or 1, noting a header that is not as it should be."""
    if line == header:
        return 1
    expected = header.replace("\t", "<TAB>")
    if line in (_SCORE_HEADER, _KEY_HEADER):
        found, wanted = ("scores", "keys") if line == _SCORE_HEADER else ("keys", "scores")
        raise MixframeError(f"{problems.path}:1: this is a file of {found}, expected {wanted}")
    if _is_header(line):
        problems.add(1, f"header {line[:80]!r}, expected '{expected}' (separated by one tab)")
        return 1
    problems.add(1, f"missing header '{expected}'")
    return 0


def _split(line: str, kind: ScoreFormat, number: int, problems: Problems) -> list[str] | None:
    """Return the columns of a line, or None and a problem noted."""
    if not line.strip():
        problems.add(number, "blank line")
        return None
    n_expected = 4 if kind == "2019" else 2
    if kind == "asvspoof5":
        name, parts = "one tab", line.split("\t")
    else:
        name, parts = "spaces", [] if "\t" in line else line.split()
    if len(parts) == n_expected:
        return parts
    problems.add(
        number,
        f"wrong separator or number of columns in {line[:80]!r}, "
        f"expected {n_expected} columns separated by {name}",
    )
    return None


def _check_trials(path: Path, trials: Sequence[str], shape: tuple[int, ...]) -> None:
    if shape != (len(trials),):
        raise MixframeError(f"{path}: not written: {len(trials)} trials, values of shape {shape}")
    if len(trials) == 0:
        raise MixframeError(f"{path}: not written: 0 trials")
    seen = set()
    for trial in trials:
        if not trial or trial != trial.strip() or any(c in trial for c in "\t\r\n"):
            raise MixframeError(
                f"{path}: not written: trial name {trial!r}, expected a name without tabs, line "
                "breaks and outer spaces"
            )
        if trial in seen:
            raise MixframeError(f"{path}: not written: duplicate trial {trial!r}")
        seen.add(trial)


def _write(path: Path, header: str, trials: Sequence[str], values: Sequence[str]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(header + "\n")
        out.writelines(f"{trial}\t{value}\n" for trial, value in zip(trials, values, strict=True))


def named(trials: Sequence[str] | pd.Series, text: str) -> str:
    """Say how many trials a text is about, and name the first few."""
    shown = ", ".join(str(trial) for trial in trials[:_NAMED])
    more = f" and {len(trials) - _NAMED} more" if len(trials) > _NAMED else ""
    return f"{len(trials)} {text}: {shown}{more}"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise MixframeError("scores and keys do not match:\n" + listing(problems))
