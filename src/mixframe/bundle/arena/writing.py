"""A submission out of the scores of a preset."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, sha256_file, write_text
from mixframe.base.folders import located
from mixframe.base.schema import validate
from mixframe.bundle.arena.checks import check, read_trials, split
from mixframe.bundle.arena.submission import (
    TEST,
    Calibration,
    Dataset,
    Meta,
    Scores,
    Submission,
)
from mixframe.corpora import arena as corpus
from mixframe.corpora import trials as published
from mixframe.corpora.source import read_entries
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset
from mixframe.metrics import arena, scorefiles
from mixframe.stages.card import CARD, read_card
from mixframe.stages.context import open_context

SCORES = "scores.txt"
ORGANISATION = "SpeechAntiSpoofingBenchmarks"
TRAINED_ON = {
    "asvspoof2019_la": "ASVspoof2019_LA",
    "asvspoof2021_la": "ASVspoof2021_LA",
    "asvspoof2021_df": "ASVspoof2021_DF",
    "asvspoof5": "ASVspoof5",
    "in_the_wild": "InTheWild",
}
"""The Arena's data set of a published corpus, by its kind."""
TRAINING = ("train", "dev")
"""Sets of which a system knows."""
BENCH_VERSION = {4: "speech-spoof-bench==0.3.0", 5: "speech-spoof-bench==0.4.1"}
"""The release whose definitions the figures follow, by version of the schema."""


@dataclass(frozen=True)
class Source:
    """A trained system among the results.

    Attributes:
        files: of its preset, with its seed.
    """

    preset: Preset
    files: Layout
    system: str

    def scores(self, set_name: str) -> Path:
        """The score file of a set."""
        return need_file(self.files.scores(self.system, set_name), "score")


@dataclass(frozen=True)
class Scored:
    """A data set with the scores of a system.

    Attributes:
        n_trials: with those that have no score, and no usable audio.
        labels: bonafide or spoof by the Arena's id.
        scores: in the order in which they are written.
    """

    dataset: Dataset
    n_trials: int
    labels: Mapping[str, str]
    scores: Mapping[str, float]


def source(system: str, preset_name: str | None, seed: int | None) -> Source:
    """Find a system of a preset; without names, of params.yaml, and of its first seed.

    Raises:
        MixframeError: there is no such preset, system or seed.
    """
    context = open_context(preset_name, {}, {"system": system}, seed)
    return Source(context.preset, context.files, system)


def of_set(origin: Source, set_name: str) -> Scored:
    """Return an Arena data set of a preset with the scores of a system.

    Raises:
        MixframeError: no single Arena data set makes this set, or not all of it; or it is not
            scored.
    """
    name, section = _corpus(origin.preset, set_name)
    download = origin.preset.download[name]
    labels = _labels(origin, name)
    if labels is None:
        if not section.trials:
            raise MixframeError(
                f"protocol.corpora.{name}.trials = 0, and data/{name} has no {corpus.LABELS_FILE}; "
                "`mixframe download` makes it again"
            )
        rows = manifest.read(need_file(origin.files.manifest, "protocol"))
        rows = rows[rows["set"] == set_name]
        ids = rows["utterance"].str.removeprefix(section.prefix)
        labels = dict(zip(ids, rows["label"], strict=True))
    table = scorefiles.read_scores(origin.scores(set_name))
    ids = table["trial"].str.removeprefix(section.prefix)
    return Scored(
        Dataset(id=download.repo, revision=download.revision, split=TEST),
        section.trials or len(labels),
        labels,
        dict(zip(ids, table["score"], strict=True)),
    )


def of_files(dataset: str, scores: Path, labels: Path) -> Scored:
    """Return a data set that is not of a preset, with the scores of a file.

    Args:
        dataset: <owner>/<name>@<commit>.
        scores: a score file in any form that `scorefiles.read_scores` reads, with all ids.
        labels: the labels.parquet at that commit.

    Raises:
        MixframeError: the data set is not named in this form, or a file cannot be used.
    """
    repository, _, revision = dataset.partition("@")
    values = {"id": repository, "revision": revision, "split": TEST}
    trials = read_trials(labels)
    table = scorefiles.read_scores(scores)
    return Scored(
        validate(Dataset, values, f"--dataset {dataset}"),
        len(trials),
        trials,
        dict(zip(table["trial"], table["score"], strict=True)),
    )


def _corpus(preset: Preset, set_name: str) -> tuple[str, corpus.Protocol]:
    """Return the one Arena data set that makes a set."""
    of_arena = {
        name: section
        for name, section in preset.protocol.corpora.items()
        if isinstance(section, corpus.Protocol)
    }
    makers = {name: part for name, part in of_arena.items() if part.set == set_name}
    if len(makers) != 1:
        sets = ", ".join(sorted({part.set for part in of_arena.values()})) or "none"
        raise MixframeError(
            f"set {set_name!r} is made by {len(makers)} data sets of the Arena, expected 1; "
            f"sets of the Arena in this preset: {sets}"
        )
    ((name, section),) = makers.items()
    if section.subsets:
        raise MixframeError(
            f"protocol.corpora.{name}.subsets = {section.subsets}: a submission is of all trials; "
            "expected []"
        )
    return name, section


def _labels(origin: Source, name: str) -> dict[str, str] | None:
    """Return the labels.parquet of a downloaded data set, where it has one."""
    entry = read_entries(need_file(origin.files.download, "download"))[name]
    paths = [located(file["path"]) for file in entry["files"]]
    own = [path for path in paths if path.name == corpus.LABELS_FILE and path.is_file()]
    return corpus.read_labels(own[0]) if own else None


def trained_on(preset: Preset) -> list[str]:
    """Return the Arena's data sets of the corpora that a preset trains on and selects with."""
    sets = set()
    for name, section in preset.protocol.corpora.items():
        if isinstance(section, published.Protocol):
            if set(section.sets.values()) & set(TRAINING):
                sets.add(f"{ORGANISATION}/{TRAINED_ON[section.kind]}")
        elif isinstance(section, corpus.Protocol) and section.set in TRAINING:
            sets.add(preset.download[name].repo)
    return sorted(sets)


def calibrate(scored: Scored) -> Calibration:
    """Return the EER threshold of a system on a data set, by the Arena's definition."""
    classes = split(scored.scores, scored.labels)
    threshold = arena.eer(classes["bonafide"], classes["spoof"]).threshold
    return Calibration(source_dataset=scored.dataset.id, threshold=threshold)


def measure(scored: Scored, calibration: Calibration | None) -> Scores:
    """Return the counts and the metric of a data set: of one without bona fide speech the
    complement of the spoof rejection rate, of any other the EER.

    Raises:
        MixframeError: the former without a calibration; a class has no score.
    """
    classes = split(scored.scores, scored.labels)
    skipped = scored.n_trials - len(scored.scores)
    values: dict[str, Any] = {"n_trials": scored.n_trials, "n_skipped": skipped}
    if skipped < 0:
        raise MixframeError(
            f"{scored.dataset.id}: {len(scored.scores):,} scores, but {scored.n_trials:,} trials"
        )
    if "bonafide" in scored.labels.values():
        values["eer_percent"] = arena.eer(classes["bonafide"], classes["spoof"]).percent
    elif calibration is None:
        raise MixframeError(
            f"{scored.dataset.id} has no bona fide speech: its metric srr_complement needs the "
            f"threshold of another set; give --calibrate SET, the set of {ORGANISATION}/DeepVoice"
        )
    else:
        values["srr_complement"] = arena.srr_complement(classes["spoof"], calibration.threshold)
    return Scores(**values)


def place(scored: Scored) -> str:
    """Return where the score file of a data set belongs in the repository of a model."""
    return f".eval_results/{scored.dataset.id}/{SCORES}"


def write_scores(scored: Scored, folder: Path) -> Path:
    """Write scores.txt, a line `<id> <score>` a trial, and return its path."""
    path = folder / SCORES
    write_text(path, "".join(f"{name} {score!r}\n" for name, score in scored.scores.items()))
    return path


def write_submission(
    origin: Source,
    scored: Scored,
    meta: Meta,
    folder: Path,
    commit: str,
    *,
    schema: int = 5,
    calibration: Calibration | None = None,
    date: str | None = None,
) -> Path:
    """Write <slug>.yaml beside scores.txt, check both, and return its path.

    Args:
        commit: of the repository of the model, that has scores.txt at `place`.
        schema: version, 4 or 5.
        date: of the submission, YYYY-MM-DD; None for today.

    Raises:
        MixframeError: a value is not after the schema, or a check of the maintainers would fail.
    """
    url = f"https://huggingface.co/{meta.model_repo}/resolve/{commit}/{place(scored)}"
    values = {
        "schema_version": schema,
        "system": _system(origin, meta, schema),
        "dataset": scored.dataset.model_dump(),
        "scores": measure(scored, calibration).model_dump(exclude_none=True),
        "artifact": {
            "scores_url": url,
            "scores_sha256": sha256_file(folder / SCORES),
            "bench_version": BENCH_VERSION[schema],
        },
        "reproduction": {},
        "submitter": meta.submitter.model_dump(),
        "submitted_at": date or datetime.date.today().isoformat(),
    }
    if meta.notes is not None:
        values["notes"] = meta.notes
    if calibration is not None:
        values["calibration"] = calibration.model_dump()
    path = folder / f"{meta.system.slug}.yaml"
    validate(Submission, values, str(path))
    # A long line would be folded, and dates are put in quotes.
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000))
    check(path, folder / SCORES, scored.labels)
    return path


def _system(origin: Source, meta: Meta, schema: int) -> dict[str, Any]:
    """Return what a submission says of a system, with what the results know of it."""
    values = meta.system.model_dump(exclude_none=True)
    folder = origin.files.finetuned(origin.system)
    if (folder / CARD).is_file():
        values.setdefault("params_millions", read_card(folder).parameters.total / 1e6)
    known = trained_on(origin.preset)
    if schema > 4 and known:
        values["trained_on"] = known
    return values
