"""Keys: what is known of each trial, in the forms in which the ASVspoof challenges publish it.

Told apart by content:

- ASVspoof 5 key: tab-separated, header `filename<TAB>cm-label`.
- Without header, separated by spaces: the protocols of 2019 (5 columns) and ASVspoof 5 (10), the
  `trial_metadata.txt` of 2021 LA (8) and 2021 DF (13).
- A manifest of this package (`.parquet`); its sets are the subsets.

ASV scores, for the min t-DCF: the 2019 file (`source key score`), or that of 2021 (`speaker trial
score`) with the ASV `trial_metadata.txt` beside it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file
from mixframe.metrics import protocol_file
from mixframe.metrics.detection import FloatArray
from mixframe.metrics.scorefiles import Problems, align, named, read_keys, read_scores, text_lines

PUBLISHED = "eval"
"""The subset of the 2021 keys over which published figures are pooled."""
EVERY = "all"
"""In place of a subset: all of them."""

ASV_KEYS = ("target", "nontarget", "spoof")


@dataclass(frozen=True)
class Trials:
    """Scores beside the keys of the trials that are evaluated.

    Attributes:
        table: trial, label, score, and whatever else the keys say, a row a trial.
        subset: the subset of the keys; None if the keys have none, or all were asked for.
        n_keys: trials of the keys, all subsets together.
    """

    table: pd.DataFrame
    subset: str | None
    n_keys: int


@dataclass(frozen=True)
class AsvScores:
    """Scores of a speaker verification system by the kind of trial, (n,) each."""

    target: FloatArray
    nontarget: FloatArray
    spoof: FloatArray


def read(path: Path) -> pd.DataFrame:
    """Read keys of any of the forms above.

    Returns:
        trial and label (bonafide or spoof), and, where the form has them, speaker, attack ("-" for
        bona fide), codec, subset and the other columns of the release; all str, in file order,
        trials unique.

    Raises:
        MixframeError: the file is missing, empty, or of no known form; or lines are wrong. One
            message lists up to 20 of them with their line.
    """
    if path.suffix == ".parquet":
        # pyarrow and the audio libraries, which the manifest brings, only where it is asked for.
        from mixframe.audio import manifest

        table = manifest.read(need_file(path)).drop(columns=["subset", "regions"])
        return table.rename(columns={"utterance": "trial", "set": "subset"})
    first = text_lines(path, "keys")[0]
    n_columns = len(first.split())
    if "\t" in first or first.startswith("filename") or n_columns == 2:
        return read_keys(path)
    if n_columns not in protocol_file.BY_COLUMNS:
        raise MixframeError(
            f"{path}, line 1: {_separator(first)}{n_columns} columns in {first[:80]!r}; expected "
            "the header 'filename<TAB>cm-label', or 5 (2019), 8 (2021 LA), 10 (ASVspoof 5) or 13 "
            "(2021 DF) columns separated by spaces"
        )
    table = protocol_file.parse(path, protocol_file.BY_COLUMNS[n_columns], file_names=False)
    return table.drop(columns="line").rename(columns={"utterance": "trial"})


def _separator(line: str) -> str:
    name = next((name for c, name in ((",", "comma"), (";", "semicolon")) if c in line), None)
    return f"wrong separator ({name}), " if name else ""


def join(scores: Path, keys: Path, subset: str | None = None) -> Trials:
    """Read a score file and keys, and join them, a score a trial.

    Args:
        subset: of the keys, or `all`. Without it the subset `eval` is taken where the keys have
            one, as for published figures. Scores of the other subsets may be in the file or not.

    Raises:
        MixframeError: as `read` and `scorefiles.read_scores`; trials without a score, scores
            without a trial; no such subset.
    """
    table = read(keys)
    chosen, name = _choose(table, subset, keys)
    scored = read_scores(scores)
    if name is not None:
        others = set(table["trial"].tolist()) - set(chosen["trial"].tolist())
        inside = [trial not in others for trial in scored["trial"].tolist()]
        scored = scored[inside]
    try:
        return Trials(align(scored, chosen), name, len(table))
    except MixframeError as error:
        where = f", subset {name}" if name is not None else ""
        raise MixframeError(f"{scores} and {keys}{where}: {error}") from error


def _choose(table: pd.DataFrame, subset: str | None, path: Path) -> tuple[pd.DataFrame, str | None]:
    if "subset" not in table:
        if subset in (None, EVERY):
            return table, None
        raise MixframeError(f"{path}: --subset {subset}: these keys have no subsets")
    subsets = sorted(table["subset"].unique())
    if subset is None:
        subset = PUBLISHED if PUBLISHED in subsets else EVERY
    if subset == EVERY:
        return table, None
    if subset not in subsets:
        raise MixframeError(
            f"{path}: --subset {subset}: expected one of {', '.join(subsets)}, or {EVERY}"
        )
    return table[table["subset"] == subset].reset_index(drop=True), subset


def read_asv(scores: Path, keys: Path | None = None, subset: str | None = None) -> AsvScores:
    """Read the scores of a speaker verification system.

    Args:
        scores: the 2019 file, or that of 2021.
        keys: ASV `trial_metadata.txt` of 2021, line by line the trials of `scores`.
        subset: of those keys, None for all.

    Raises:
        MixframeError: a line of another form, a score that is not a finite number, files of
            different trials, or a kind of trial that is absent; one message lists the lines.
    """
    problems = Problems(scores)
    rows = []
    for number, line in enumerate(text_lines(scores, "ASV scores"), start=1):
        parts = line.split()
        if len(parts) != 3:
            problems.add(number, f"{len(parts)} columns in {line[:80]!r}, expected 3")
            continue
        kind = parts[1]
        if keys is None and kind not in ASV_KEYS:
            hint = "; the ASV scores of 2021 need --asv-keys" if number == 1 else ""
            problems.add(number, f"key {kind!r}, expected {', '.join(ASV_KEYS)}{hint}")
        rows.append((kind, problems.check_score(parts[2], number)))
    problems.raise_any()
    if keys is not None:
        rows = _with_keys(rows, keys, scores, subset)
    values = pd.DataFrame(rows, columns=["key", "score"])
    by_kind = {k: values.loc[values["key"] == k, "score"].to_numpy(np.float64) for k in ASV_KEYS}
    for kind, of_kind in by_kind.items():
        if not of_kind.size:
            raise MixframeError(f"{scores}: 0 {kind} trials, expected at least one of each kind")
    return AsvScores(**by_kind)


def _with_keys(
    rows: list[tuple[str, float]], keys: Path, scores: Path, subset: str | None
) -> list[tuple[str, float]]:
    """Return (key, score) of the rows (trial, score) that the keys put into the subset."""
    problems, kept, differ = Problems(keys), [], []
    lines = text_lines(keys, "ASV keys")
    if len(lines) != len(rows):
        raise MixframeError(
            f"{scores} has {len(rows)} trials, {keys} has {len(lines)}; expected the same ones"
        )
    for number, (line, (trial, score)) in enumerate(zip(lines, rows, strict=True), start=1):
        parts = line.split()
        if len(parts) != 8 or parts[5] not in ASV_KEYS:
            problems.add(
                number,
                f"{line[:80]!r}, expected 8 columns with {', '.join(ASV_KEYS)} in the sixth",
            )
            continue
        if parts[1] != trial:
            differ.append(trial)
        if subset in (None, EVERY, parts[7]):
            kept.append((parts[5], score))
    problems.raise_any()
    if differ:
        text = f"trials of {scores} are on another line of {keys}"
        raise MixframeError(named(differ, text))
    return kept
