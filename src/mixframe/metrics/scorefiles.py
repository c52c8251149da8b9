"""Score files and keys in the formats of the ASVspoof challenges.

Read by content, not by name:

- ASVspoof 5: tab-separated, header `filename<TAB>cm-score`; keys `filename<TAB>cm-label`.
- 2021: `trial score`, separated by spaces, no header.
- 2019: `utterance attack key score`, separated by spaces, no header.

Written in the ASVspoof 5 format. In memory a file is a table with the columns `trial` and `score`,
or `trial` and `label`, in the order of the file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path
from mixframe.base.labels import LABELS
from mixframe.metrics import trialfiles
from mixframe.metrics.trialfiles import Format

HEADER = "filename\tcm-score"
SCORES = Format("utterance\tscore", "\t", HEADER, distributed=False)
KEYS = Format("utterance\tlabel", "\t", "filename\tcm-label", distributed=False)
SPACED = {
    2: Format("utterance score", distributed=False),
    4: Format("utterance _ label score", distributed=False),
}
"""The score files separated by spaces, 2021 and 2019, by the number of their columns."""

NAME = r"\S([^\t\r\n]*\S)?"
"""Of a trial that can be written."""
NAMED = 5
"""Trials named in a message about many."""


def read_scores(path: Path) -> pd.DataFrame:
    """Read a score file in any of the three formats.

    Returns:
        Columns `trial` (str) and `score` (float64, finite); of a 2019 file also `label` (str). One
        row a line, in file order, trials unique.

    Raises:
        MixframeError: the file is missing, empty or of no known format; or lines are wrong: bytes
            that are not UTF-8, number of columns, header missing, score not a finite number, label
            unknown, trial repeated. One message lists up to 20 of them with their line.
    """
    first = trialfiles.first_line(path, "scores")
    n_columns = len(first.split())
    if first.startswith("filename") or first.count("\t") == 1:
        form = SCORES
    elif n_columns in SPACED:
        form = SPACED[n_columns]
    else:
        raise trialfiles.unknown_form(
            path,
            first,
            "a tab-separated file with the header 'filename<TAB>cm-score', lines of 'trial score', "
            "or lines of 'utterance attack key score'",
        )
    return by_trial(trialfiles.parse(path, form, what="a score file"))


def by_trial(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table of `trialfiles.parse` the words of score files: `trial`, and no line numbers."""
    return table.drop(columns="line").rename(columns={"utterance": "trial"})


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
    if len(trials) == 0 or values.shape != (len(trials),):
        raise MixframeError(
            f"{path}: not written: {len(trials)} trials, values of shape {values.shape}"
        )
    names = pd.Series(trials, dtype=object)
    for bad, text in (
        (~names.str.fullmatch(NAME), "names of trials are empty, or have tabs or outer spaces"),
        (names.duplicated(), "trials are there already"),
        (~np.isfinite(values), f"of {values.size} scores are NaN or infinite"),
    ):
        if bad.any():
            raise MixframeError(f"{path}: not written: {named(names[bad].map(repr), text)}")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(HEADER + "\n")
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
            spoof, a class without a trial, or a score that is NaN, infinite or too large.
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
    values = scores["score"].to_numpy(np.float64)
    infinite = scores.loc[~np.isfinite(values), "trial"]
    if len(infinite):
        problems.append(named(infinite, "scores are NaN or infinite"))
    most = trialfiles.LARGEST_SCORE
    huge = scores.loc[np.isfinite(values) & (np.abs(values) > most), "trial"]
    if len(huge):
        problems.append(named(huge, f"scores are above {most:g} in size"))
    _refuse(problems)
    ordered = scores.set_index("trial").reindex(keys["trial"])
    if "label" in scores:
        differ = ordered["label"].to_numpy() != keys["label"].to_numpy()
        if differ.any():
            text = "labels of the score file are not those of the keys"
            _refuse([named(keys.loc[differ, "trial"], text)])
    return keys.assign(score=ordered["score"].to_numpy(np.float64))


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


def named(trials: Sequence[str] | pd.Series, text: str) -> str:
    """Say how many trials a text is about, and name the first few."""
    shown = ", ".join(str(trial) for trial in trials[:NAMED])
    more = f" and {len(trials) - NAMED} more" if len(trials) > NAMED else ""
    return f"{len(trials)} {text}: {shown}{more}"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise MixframeError("scores and keys do not match:\n" + listing(problems))
