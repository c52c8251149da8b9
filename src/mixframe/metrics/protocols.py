"""Keys: what is known of each trial, in the forms in which the ASVspoof challenges publish it.

Told apart by content:

- ASVspoof 5 key: tab-separated, header `filename<TAB>cm-label`.
- Without header, separated by spaces: the protocols of 2019 (5 columns) and ASVspoof 5 (10), the
  `trial_metadata.txt` of 2021 LA (8) and 2021 DF (13).
- A manifest of this package (`.parquet`); its sets are the subsets.

ASV scores, for the min t-DCF: the 2019 file (`source key score`), or that of 2021 (`speaker trial
score`) with the ASV `trial_metadata.txt` beside it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file
from mixframe.metrics import trialfiles
from mixframe.metrics.detection import FloatArray
from mixframe.metrics.scorefiles import KEYS, align, by_trial, named, read_scores
from mixframe.metrics.trialfiles import Format

PUBLISHED = "eval"
"""The subset of the 2021 keys over which published figures are pooled."""
EVERY = "all"
"""In place of a subset: all of them."""

ASV_KINDS = ("target", "nontarget", "spoof")
ASV_2019 = Format("_ kind score", choices={"kind": ASV_KINDS}, distributed=False)
ASV_2021 = Format("_ trial score", distributed=False)
ASV_2021_KEYS = Format(
    "_ trial _ _ _ kind _ subset", choices={"kind": ASV_KINDS}, distributed=False
)


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

        table = manifest.read_keys(need_file(path)).drop(
            columns=["subset", "regions"], errors="ignore"
        )
        return table.rename(columns={"utterance": "trial", "set": "subset"})
    first = trialfiles.first_line(path, "keys")
    n_columns = len(first.split())
    if "\t" in first or first.startswith("filename") or n_columns == 2:
        form = KEYS
    elif n_columns in trialfiles.BY_COLUMNS:
        form = replace(trialfiles.BY_COLUMNS[n_columns], distributed=False)
    else:
        raise trialfiles.unknown_form(
            path,
            first,
            "the header 'filename<TAB>cm-label', or 5 (2019), 8 (2021 LA), 10 (ASVspoof 5) or 13 "
            "(2021 DF) columns separated by spaces",
        )
    return by_trial(trialfiles.parse(path, form, what="keys"))


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
        aligned = align(scored, chosen)
    except MixframeError as error:
        where = f", subset {name}" if name is not None else ""
        raise MixframeError(f"{scores} and {keys}{where}: {error}") from error
    # Sums of scores round by their order: figures must not depend on that of the lines of a file.
    return Trials(aligned.sort_values("trial", ignore_index=True), name, len(table))


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
    if keys is None:
        what = "ASV scores of 2019 (those of 2021 need --asv-keys)"
        table = trialfiles.parse(scores, ASV_2019, what=what)
    else:
        table = trialfiles.parse(scores, ASV_2021, what="ASV scores")
        known = trialfiles.parse(keys, ASV_2021_KEYS, what="ASV keys")
        if len(table) != len(known):
            raise MixframeError(
                f"{scores} has {len(table)} trials, {keys} has {len(known)}; expected the same ones"
            )
        differ = table.loc[table["trial"] != known["trial"], "trial"]
        if len(differ):
            raise MixframeError(
                named(differ.tolist(), f"trials of {scores} are on another line of {keys}")
            )
        table["kind"] = known["kind"]
        if subset not in (None, EVERY):
            table = table[known["subset"] == subset]
    by_kind = {k: table.loc[table["kind"] == k, "score"].to_numpy() for k in ASV_KINDS}
    for kind, of_kind in by_kind.items():
        if not of_kind.size:
            raise MixframeError(f"{scores}: 0 {kind} trials, expected at least one of each kind")
    return AsvScores(**by_kind)
