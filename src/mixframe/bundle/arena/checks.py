"""The checks that the maintainers of the Arena make of a submission, without a network.

As `speech-spoof-bench reproduce --scoring` of github.com/lab260ru/speech_spoof_bench, and stricter:
it would keep the last of several scores of one trial, and let NaN into the metrics.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import sha256_file
from mixframe.base.tables import parquet_columns
from mixframe.bundle.arena.submission import Submission, read_submission
from mixframe.corpora.arena import read_labels
from mixframe.metrics import arena, trialfiles
from mixframe.metrics.detection import FloatArray
from mixframe.metrics.scorefiles import SPACED, named

TOLERANCE = 1e-6
"""Between a metric of a submission and that of its score file."""


def read_trials(path: Path, set_name: str | None = None) -> dict[str, str]:
    """Return the trials of a data set: bonafide or spoof by utterance id.

    Args:
        path: a labels.parquet of the Arena, or a manifest.
        set_name: of the manifest; before its ids `<set>/` is removed, which presets over several
            data sets put there.

    Raises:
        MixframeError: neither of the two, or no such set in the manifest.
    """
    if path.suffix != ".parquet":
        raise MixframeError(f"{path}: expected a labels.parquet or a manifest.parquet")
    if "utterance" not in parquet_columns(path)[0]:
        return read_labels(path)
    table = manifest.read(path)
    sets = sorted(table["set"].unique())
    if set_name not in sets:
        raise MixframeError(f"{path}: --set {set_name}: expected one of {', '.join(sets)}")
    rows = table[table["set"] == set_name]
    ids = rows["utterance"].str.removeprefix(f"{set_name}/")
    return dict(zip(ids, rows["label"], strict=True))


def split(scores: Mapping[str, float], labels: Mapping[str, str]) -> dict[str, FloatArray]:
    """Return the scores of either class, those of other ids left out."""
    return {
        kind: np.array([s for name, s in scores.items() if labels.get(name) == kind])
        for kind in ("bonafide", "spoof")
    }


def check(path: Path, scores_path: Path, labels: Mapping[str, str]) -> Submission:
    """Check a submission and its score file against the labels of its data set.

    Args:
        path: <slug>.yaml.
        scores_path: scores.txt, a line `<utterance id> <score>` a trial.
        labels: `read_trials` of the data set at the revision of the submission.

    Raises:
        MixframeError: the submission is not after the schema; or everything else that is wrong, at
            once.
    """
    submission = read_submission(path)
    table, problems = trialfiles.read(scores_path, SPACED[2])
    if not problems:
        scores = dict(zip(table["utterance"], table["score"], strict=True))
        problems = _counts(submission, scores, labels) + _metrics(submission, scores, labels)
    sha = sha256_file(scores_path)
    if sha != submission.artifact.scores_sha256:
        problems.append(
            f"artifact.scores_sha256 = {submission.artifact.scores_sha256}, but {scores_path} has "
            f"{sha}"
        )
    if problems:
        raise MixframeError(
            f"{path}: {len(problems):,} checks of the Arena would fail\n{listing(problems)}"
        )
    return submission


def _counts(
    submission: Submission, scores: Mapping[str, float], labels: Mapping[str, str]
) -> list[str]:
    claimed = submission.scores
    problems = []
    foreign = [name for name in scores if name not in labels]
    if foreign:
        problems.append(named(foreign, "scores are of no trial of the data set"))
    if len(scores) + claimed.n_skipped != claimed.n_trials:
        problems.append(
            f"scores.n_trials = {claimed.n_trials}: expected {len(scores)} scores and "
            f"scores.n_skipped = {claimed.n_skipped} together"
        )
    unscored = [name for name in labels if name not in scores]
    if len(unscored) > claimed.n_skipped:
        problems.append(
            named(unscored, f"trials have no score, scores.n_skipped = {claimed.n_skipped}")
        )
    return problems


def _metrics(
    submission: Submission, scores: Mapping[str, float], labels: Mapping[str, str]
) -> list[str]:
    classes = split(scores, labels)
    problems = []
    for name, claimed in submission.scores.metrics.items():
        try:
            if name == "eer_percent":
                value = arena.eer(classes["bonafide"], classes["spoof"]).percent
            else:
                assert submission.calibration is not None
                value = arena.srr_complement(classes["spoof"], submission.calibration.threshold)
        except MixframeError as error:
            problems.append(f"scores.{name}: {error}")
            continue
        if abs(value - claimed) > TOLERANCE:
            problems.append(f"scores.{name} = {claimed!r}, the score file gives {value!r}")
    return problems
