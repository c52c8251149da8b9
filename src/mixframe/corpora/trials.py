"""From trials and the audio of a corpus to its rows of the manifest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from mixframe.audio.io import TarWriter
from mixframe.base.errors import MixframeError, listing
from mixframe.base.folders import STATE
from mixframe.base.progress import log
from mixframe.base.schema import Count, Positive, Section
from mixframe.corpora import PUBLISHED, archives
from mixframe.corpora.archives import PublishedName
from mixframe.corpora.probe import Target, probe
from mixframe.corpora.source import LeftOut, PublishedSection
from mixframe.metrics import trialfiles

if TYPE_CHECKING:
    import pandas as pd


class Audited(Section):
    """What the audio of recorded trials must be like.

    Attributes:
        decode: whether every file is decoded to its end when it is first seen; see
            `mixframe.corpora.probe`.
        max_missing: trials that may lack usable audio; they are left out and listed.
    """

    decode: bool
    max_missing: Count


class Protocol(Audited, PublishedSection):
    """How the trials of a corpus become sets of the manifest.

    Attributes:
        sets: part of the corpus, or subset where its keys have subsets, to the manifest's set;
            what is not named is left out.
        trials: how many trials each protocol in use must have, by part.
        max_orphans: audio files that may be in no protocol.
    """

    kind: PublishedName
    sets: Annotated[dict[str, str], Field(min_length=1)]
    trials: dict[str, Positive]
    max_orphans: Count

    @model_validator(mode="after")
    def _known(self) -> Self:
        corpus = PUBLISHED[self.kind]
        unknown = [name for name in self.sets if name not in corpus.divisions]
        if unknown:
            raise ValueError(
                f"sets: {unknown[0]!r} is not of this corpus; it has {', '.join(corpus.divisions)}"
            )
        if set(self.trials) != set(self.parts()):
            raise ValueError(f"trials: expected a number for {' and '.join(self.parts())}")
        return self

    def parts(self) -> list[str]:
        """Return the parts whose protocols are read."""
        corpus = PUBLISHED[self.kind]
        return [name for name in corpus.parts if corpus.subsets or name in self.sets]


def protocol(
    params: Protocol, seed: int, entry: dict[str, Any], audio: TarWriter, workers: int
) -> "pd.DataFrame":
    """Read the trials and the audio of a corpus; `seed` and `audio` are not used.

    Args:
        entry: what `archives.download` returned.
        workers: processes that probe audio.

    Returns:
        what `with_audio` returns.

    Raises:
        MixframeError: a protocol is missing or has bad lines, each named with file and line, all at
            once; or as `with_audio`.
    """
    corpus = PUBLISHED[params.kind]
    roots = [Path(root) for root in entry["roots"]]
    tables, problems = {}, []
    for name in params.parts():
        path = _one_protocol(entry, params.kind, name)
        tables[name, path], bad = trialfiles.read(path, corpus.form, params.trials[name])
        problems += bad
    trialfiles.refuse(problems, "protocols")

    def parts() -> Iterator[Part]:
        for (name, path), trials in tables.items():
            used = trials["subset"].map(params.sets) if corpus.subsets else params.sets[name]
            listed = archives.audio(roots, corpus.parts[name], path, corpus.suffix)
            yield trials.assign(set=used, file=str(path)), listed

    return with_audio(parts(), corpus.title, params, params.max_orphans, workers)


def _one_protocol(entry: dict[str, Any], kind: str, name: str) -> Path:
    corpus = PUBLISHED[kind]
    ending = corpus.parts[name].protocol
    paths = [Path(file["path"]) for file in entry["files"]]
    matching = [path for path in paths if archives.ends_in(path, ending)]
    if len(matching) != 1:
        where = ", ".join(map(str, matching)) or f"nowhere in {', '.join(entry['roots'])}"
        raise MixframeError(
            f"{corpus.title}, part {name}: expected one {ending}, found {where}; see {corpus.page}"
        )
    return matching[0]


Part = tuple["pd.DataFrame", Iterable[tuple[str, Target]]]
"""Trials and the audio that belongs to them.

Trials are as `trialfiles.parse` returns them, and file, where `line` is, and set; missing in trials
that are not used. Audio is by utterance.
"""


def with_audio(
    parts: Iterable[Part], title: str, params: Any, max_orphans: int, workers: int
) -> "pd.DataFrame":
    """Join trials with what their audio holds.

    Args:
        title: of the corpus.
        params: `Audited`, with a kind.
        max_orphans: audio files that may belong to no trial.
        workers: processes that probe audio.

    Returns:
        the columns of `mixframe.audio.manifest`, the protocol's other columns, and source_rate (Hz)
        and source_channels of the recordings; `attrs["left_out"]` lists `LeftOut`.

    Raises:
        MixframeError: more trials without usable audio, or more audio without a trial, than
            allowed, or audio that is there twice, all at once; another process is probing the same
            corpus, or a worker died.
    """
    import pandas as pd

    rows, left_out, problems = [], [], []
    missing: list[str] = []
    orphans: list[str] = []
    for trials, listed in parts:
        files: dict[str, Target] = {}
        for name, item in listed:
            if name in files:
                problems.append(f"{item.ref.path}: {name} is in {files[name].ref.path} already")
            files[name] = item
        lists = " or ".join(trials["file"].unique())
        for stem in sorted(files.keys() - set(trials["utterance"])):
            orphans.append(f"{files[stem].ref.path}: {stem} is not in {lists}")
            left_out.append(LeftOut(title, "-", stem, "-", "audio without a trial"))
        trials = trials.dropna(subset="set")
        here = trials["utterance"].isin(files)
        targets = [files[utterance] for utterance in trials.loc[here, "utterance"]]
        cache = STATE / "probe" / f"{params.kind}.jsonl"
        probed = probe(targets, cache, params.decode, workers, f"probe {params.kind}")
        refs = [target.ref for target in targets]
        reasons = pd.Series("no audio file", trials.index)
        reasons[here] = [
            result.problem and f"{ref.path}: {result.problem}"
            for ref, result in zip(refs, probed, strict=True)
        ]
        bad = reasons != ""
        for trial, reason in zip(trials[bad].itertuples(), reasons[bad], strict=True):
            missing.append(f"{trial.file}, line {trial.line}: {trial.utterance}: {reason}")
            left_out.append(LeftOut(title, trial.set, trial.utterance, trial.label, reason))
        table = manifest_rows(trials[here].drop(columns="file")).assign(
            path=[ref.path for ref in refs],
            offset=[ref.offset for ref in refs],
            n_bytes=[ref.n_bytes for ref in refs],
            samples=[result.samples for result in probed],
            source_rate=[result.rate for result in probed],
            source_channels=[result.channels for result in probed],
        )
        rows.append(table[~bad[here]])
    for what, cases, allowed, key in (
        ("trials without usable audio", missing, params.max_missing, "max_missing"),
        ("audio files without a trial", orphans, max_orphans, "max_orphans"),
    ):
        if len(cases) > allowed:
            problems.append(f"{len(cases):,} {what}, {key} allows {allowed:,}:")
            problems += cases
        elif cases:
            log(f"  {title}: {len(cases):,} {what} (allowed: {allowed:,})")
    if problems:
        raise MixframeError(f"{title}: protocols and audio disagree\n{listing(problems)}")
    table = pd.concat(rows, ignore_index=True)
    table.attrs["left_out"] = left_out
    return table


def manifest_rows(trials: "pd.DataFrame") -> "pd.DataFrame":
    """Give trials the columns that every corpus has; a spoof of unknown making has that attack."""
    absent = [c for c in ("codec", "subset", "prompt") if c not in trials]
    rows = trials.drop(columns="line").assign(**dict.fromkeys(absent, "-"))
    if "attack" not in rows:
        rows["attack"] = (rows["label"] == "spoof").map({True: "unknown", False: "-"})
    empty: list[int] = []
    rows["regions"] = [empty] * len(rows)
    return rows
