"""From a downloaded corpus to its rows of the manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from mixframe.audio.io import TarWriter
from mixframe.base.errors import MixframeError, listing
from mixframe.base.folders import STATE
from mixframe.base.progress import log
from mixframe.corpora import PUBLISHED, archives
from mixframe.corpora.archives import PublishedName
from mixframe.corpora.probe import Target, probe
from mixframe.corpora.source import Corpus, LeftOut, PublishedSection
from mixframe.metrics import trialfiles

if TYPE_CHECKING:
    import pandas as pd


class Protocol(PublishedSection):
    """How the trials of a corpus become sets of the manifest.

    Attributes:
        sets: part of the corpus, or subset where its keys have subsets, to the manifest's set;
            what is not named is left out.
        trials: how many trials each protocol in use must have, by part.
        decode: whether every file is decoded to its end when it is first seen; see
            `mixframe.corpora.probe`.
        max_missing: trials that may lack usable audio; they are left out and listed.
        max_orphans: audio files that may be in no protocol.
    """

    kind: PublishedName
    sets: Annotated[dict[str, str], Field(min_length=1)]
    trials: dict[str, Annotated[int, Field(ge=1)]]
    decode: bool
    max_missing: Annotated[int, Field(ge=0)]
    max_orphans: Annotated[int, Field(ge=0)]

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
        the columns of `mixframe.audio.manifest`, the protocol's other columns, and source_rate (Hz)
        and source_channels of the recordings; `attrs["left_out"]` lists `LeftOut`.

    Raises:
        MixframeError: a protocol is missing or has bad lines; more trials without usable audio,
            or more audio without a trial, than allowed. Each with file and line, all at once.
    """
    import pandas as pd

    corpus = PUBLISHED[params.kind]
    roots = [Path(root) for root in entry["roots"]]
    protocols = {name: _one_protocol(entry, corpus, name) for name in params.parts()}
    tables, problems = {}, []
    for name, path in protocols.items():
        tables[name], bad = trialfiles.read(path, corpus.form, params.trials[name])
        problems += bad
    if problems:
        raise MixframeError(f"{len(problems):,} problems in protocols\n{listing(problems)}")
    rows, left_out, missing, orphans = [], [], [], []
    for name, path in protocols.items():
        trials = tables[name]
        files, twice = archives.audio(roots, corpus.parts[name], path, corpus.suffix)
        problems += twice
        for stem in sorted(files.keys() - set(trials["utterance"])):
            orphans.append(f"{files[stem].ref.path}: {stem}{corpus.suffix} is not in {path}")
            left_out.append(LeftOut(corpus.title, "-", stem, "-", "audio without a trial"))
        division = trials["subset"] if corpus.subsets else pd.Series(name, index=trials.index)
        trials = trials.assign(set=division.map(params.sets)).dropna(subset="set")
        used, unusable = with_audio(trials, files, params.kind, params.decode, workers)
        for trial, reason in unusable:
            missing.append(f"{path}, line {trial.line}: {trial.utterance}: {reason}")
            left_out.append(LeftOut(corpus.title, trial.set, trial.utterance, trial.label, reason))
        rows.append(used)
    for what, cases, allowed, key in (
        ("trials without usable audio", missing, params.max_missing, "max_missing"),
        ("audio files without a trial", orphans, params.max_orphans, "max_orphans"),
    ):
        if len(cases) > allowed:
            problems.append(f"{len(cases):,} {what}, {key} allows {allowed:,}:")
            problems += cases
        elif cases:
            log(f"  {corpus.title}: {len(cases):,} {what} (allowed: {allowed:,})")
    if problems:
        raise MixframeError(f"{corpus.title}: protocols and audio disagree\n{listing(problems)}")
    table = pd.concat(rows, ignore_index=True)
    table.attrs["left_out"] = left_out
    return table


def _one_protocol(entry: dict[str, Any], corpus: Corpus, name: str) -> Path:
    ending = corpus.parts[name].protocol
    paths = [Path(file["path"]) for file in entry["files"]]
    matching = [path for path in paths if archives.ends_in(path, ending)]
    if len(matching) != 1:
        where = ", ".join(map(str, matching)) or f"nowhere in {', '.join(entry['roots'])}"
        raise MixframeError(
            f"{corpus.title}, part {name}: expected one {ending}, found {where}; see {corpus.page}"
        )
    return matching[0]


def with_audio(
    trials: "pd.DataFrame", files: dict[str, Target], name: str, decode: bool, workers: int
) -> tuple["pd.DataFrame", list[tuple[Any, str]]]:
    """Join trials with what their audio holds.

    Args:
        trials: what `metrics.trialfiles.parse` returns, and set.
        files: audio by utterance.
        name: of the cache of probed files.

    Returns:
        rows of the manifest, and each trial without usable audio with the reason.

    Raises:
        MixframeError: another process is probing the same corpus, or a worker died.
    """
    here = trials["utterance"].isin(files)
    absent = [(trial, "no audio file") for trial in trials[~here].itertuples()]
    trials = trials[here]
    targets = [files[utterance] for utterance in trials["utterance"]]
    cache = STATE / "probe" / f"{name}.jsonl"
    probed = probe(targets, cache, decode, workers, f"probe {name}")
    usable = [not result.problem for result in probed]
    refs = [target.ref for target in targets]
    rows = manifest_rows(trials).assign(
        path=[ref.path for ref in refs],
        offset=[ref.offset for ref in refs],
        n_bytes=[ref.n_bytes for ref in refs],
        samples=[result.samples for result in probed],
        source_rate=[result.rate for result in probed],
        source_channels=[result.channels for result in probed],
    )
    broken = [
        (trial, f"{ref.path}: {result.problem}")
        for trial, ref, result in zip(trials.itertuples(), refs, probed, strict=True)
        if result.problem
    ]
    return rows[usable], absent + broken


def manifest_rows(trials: "pd.DataFrame") -> "pd.DataFrame":
    """Give trials the columns that every corpus has; a spoof of unknown making has that attack."""
    absent = [c for c in ("codec", "subset", "prompt") if c not in trials]
    rows = trials.drop(columns="line").assign(**dict.fromkeys(absent, "-"))
    if "attack" not in rows:
        rows["attack"] = (rows["label"] == "spoof").map({True: "unknown", False: "-"})
    empty: list[int] = []
    rows["regions"] = [empty] * len(rows)
    return rows
