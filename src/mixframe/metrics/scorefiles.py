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
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path, need_file
from mixframe.base.labels import LABELS

SCORES = "filename\tcm-score"
KEYS = "filename\tcm-label"
"""Headers of the ASVspoof 5 files."""

SPACED = {2: ("trial", "score"), 4: ("trial", "attack", "label", "score")}
"""Columns of the score files separated by spaces, 2021 and 2019, by their number."""

NAMED = 5
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
    first = lines[0]
    if _is_header(first) or first.count("\t") == 1:
        return _read_tabbed(path, lines, SCORES, ("trial", "score"))
    n_columns = len(first.split())
    if "\t" not in first and n_columns in SPACED:
        return _read_lines(Problems(path), lines, 0, SPACED[n_columns], tabs=False)
    separator = next((name for c, name in ((",", "comma"), (";", "semicolon")) if c in first), None)
    what = f"wrong separator ({separator})" if separator else f"{n_columns} columns"
    raise MixframeError(
        f"{path}:1: {what} in {first[:80]!r}; expected a tab-separated file with the header "
        "'filename<TAB>cm-score', lines of 'trial score', or lines of "
        "'utterance attack key score'"
    )


def read_keys(path: Path) -> pd.DataFrame:
    """Read a key file: header `filename<TAB>cm-label`, labels `bonafide` or `spoof`.

    Returns:
        Columns `trial` and `label` (str), one row a line, in file order, trials unique.

    Raises:
        MixframeError: as `read_scores`.
    """
    return _read_tabbed(path, text_lines(path, "keys"), KEYS, ("trial", "label"))


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
    if values.shape != (len(trials),):
        raise MixframeError(
            f"{path}: not written: {len(trials)} trials, values of shape {values.shape}"
        )
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
    finite = np.isfinite(values).tolist()
    bad = [trial for trial, is_good in zip(trials, finite, strict=True) if not is_good]
    if bad:
        text = f"of {values.size} scores are NaN or infinite"
        raise MixframeError(f"{path}: not written: {named(bad, text)}")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(SCORES + "\n")
        lines = zip(trials, values.tolist(), strict=True)
        out.writelines(f"{trial}\t{value!r}\n" for trial, value in lines)


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
        self.texts: list[str] = []

    def add(self, number: int, text: str) -> None:
        """Note a problem of a line, counted from 1."""
        self.texts.append(f"{self.path}:{number}: {text}")

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

    def check_label(self, label: str, number: int) -> None:
        """Note a label that is neither bonafide nor spoof."""
        if label not in LABELS:
            self.add(number, f"label {label!r}, expected bonafide or spoof")

    def raise_any(self) -> None:
        """Raise one error with all problems noted, if there are any."""
        if self.texts:
            count = "1 problem" if len(self.texts) == 1 else f"{len(self.texts)} problems"
            raise MixframeError(f"{self.path}: {count}:\n{listing(self.texts)}")


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
    if len(lines) == 1 and lines[0] in (SCORES, KEYS):
        raise MixframeError(f"{path}: the file is empty below its header, expected {what}")
    return lines


def _is_header(line: str) -> bool:
    return re.split(r"[\s,;]", line)[0] == "filename"


def _read_tabbed(
    path: Path, lines: list[str], header: str, columns: tuple[str, ...]
) -> pd.DataFrame:
    """Read the lines of an ASVspoof 5 file, noting a header that is not as it should be."""
    problems = Problems(path)
    first = lines[0]
    if first != header:
        expected = header.replace("\t", "<TAB>")
        if first in (SCORES, KEYS):
            what, wanted = ("scores", "keys") if first == SCORES else ("keys", "scores")
            raise MixframeError(f"{path}:1: this is a file of {what}, expected {wanted}")
        if _is_header(first):
            problems.add(1, f"header {first[:80]!r}, expected '{expected}' (separated by one tab)")
        else:
            problems.add(1, f"missing header '{expected}'")
    return _read_lines(problems, lines, int(_is_header(first)), columns, tabs=True)


def _read_lines(
    problems: Problems, lines: list[str], start: int, columns: tuple[str, ...], tabs: bool
) -> pd.DataFrame:
    """Read lines from `start` on; columns trial, score and label are checked.

    Raises:
        MixframeError: the problems noted so far and those of all lines.
    """
    separator = "one tab" if tabs else "spaces"
    seen: dict[str, int] = {}
    rows = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not line.strip():
            problems.add(number, "blank line")
            continue
        parts: list[Any] = line.split("\t") if tabs else line.split()
        if len(parts) != len(columns) or (not tabs and "\t" in line):
            problems.add(
                number,
                f"wrong separator or number of columns in {line[:80]!r}, "
                f"expected {len(columns)} columns separated by {separator}",
            )
            continue
        problems.check_trial(parts[0], number, seen)
        if columns[-1] == "score":
            parts[-1] = problems.check_score(parts[-1], number)
        if "label" in columns:
            problems.check_label(parts[columns.index("label")], number)
        rows.append(parts)
    problems.raise_any()
    return pd.DataFrame(dict(zip(columns, zip(*rows, strict=True), strict=True)))


def named(trials: Sequence[str] | pd.Series, text: str) -> str:
    """Say how many trials a text is about, and name the first few."""
    shown = ", ".join(str(trial) for trial in trials[:NAMED])
    more = f" and {len(trials) - NAMED} more" if len(trials) > NAMED else ""
    return f"{len(trials)} {text}: {shown}{more}"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise MixframeError("scores and keys do not match:\n" + listing(problems))
