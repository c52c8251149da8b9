"""From the labels of a partly spoofed corpus, and its audio, to rows of the manifest with regions.

Where a fake part begins and ends is in seconds in the labels and in samples at 16 kHz in the
manifest. An utterance that is fake from end to end has one region, all of it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mixframe.audio.io import SAMPLE_RATE, AudioRef, TarWriter
from mixframe.base.errors import MixframeError, listing
from mixframe.base.folders import stored
from mixframe.base.schema import Count, Positive
from mixframe.corpora import PARTIAL, archives, unpack
from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.probe import Target, target
from mixframe.corpora.source import PublishedSection
from mixframe.corpora.trials import Audited, Part, with_audio
from mixframe.metrics import regionfiles, trialfiles

if TYPE_CHECKING:
    import pandas as pd

PartialName: Any = Literal[*PARTIAL]
PlainName: Any = Literal[*(name for name in PARTIAL if name != "partialspoof")]


class Download(archives.Fetched):
    """Where a partly spoofed corpus comes from."""

    kind: PartialName


class Labelled(Audited, PublishedSection):
    """How the utterances of a corpus become sets of the manifest.

    Attributes:
        sets: part of the corpus to the manifest's set; what is not named is left out.
        trials: how many utterances each part in use must have.
        max_orphans: audio files that may have no label.
    """

    sets: Annotated[dict[str, str], Field(min_length=1)]
    trials: dict[str, Positive]
    max_orphans: Count

    @model_validator(mode="after")
    def _known(self) -> Self:
        parts = PARTIAL[self.kind].parts
        unknown = [name for name in self.sets if name not in parts]
        if unknown:
            raise ValueError(
                f"sets: {unknown[0]!r} is not of this corpus; it has {', '.join(parts)}"
            )
        if set(self.trials) != set(self.sets):
            raise ValueError(f"trials: expected a number for {' and '.join(self.sets)}")
        return self


class Protocol(Labelled):
    """How a corpus whose labels know fake and genuine speech becomes sets of the manifest."""

    kind: PlainName


class PartialSpoofProtocol(Labelled):
    """How PartialSpoof becomes sets of the manifest.

    Attributes:
        nonspeech: what non-speech between two fake stretches counts as. Its authors do not say;
            with bonafide, the default, only what the labels call spoof is a region.
    """

    kind: Literal["partialspoof"]
    nonspeech: regionfiles.Nonspeech = "bonafide"


def download(params: Download, folder: Path) -> dict[str, Any]:
    """Make a corpus available like `archives.download`; zips inside what was fetched are unpacked.

    Raises:
        MixframeError: as `archives.download`.
    """
    entry = archives.bring(params, PARTIAL[params.kind], folder)
    if not params.path:
        for root in entry["roots"]:
            for inner in sorted(Path(root).rglob("*.zip")):
                if not inner.with_suffix("").exists():
                    unpack.extract(inner, inner.with_suffix(""))
    return entry


def protocol(
    params: Labelled, seed: int, entry: dict[str, Any], audio: TarWriter, workers: int
) -> "pd.DataFrame":
    """Read the labels and the audio of a corpus; `seed` and `audio` are not used.

    Args:
        entry: what `download` returned.
        workers: processes that probe audio.

    Returns:
        what `mixframe.corpora.trials.with_audio` returns, with regions.

    Raises:
        MixframeError: a file is missing or has bad lines, each named with file and line, all at
            once; protocol and labels disagree; a fake part begins after the end of the audio; or as
            `with_audio`.
    """
    corpus = PARTIAL[params.kind]
    roots = [Path(root) for root in entry["roots"]]
    nonspeech = params.nonspeech if isinstance(params, PartialSpoofProtocol) else "bonafide"
    tables, problems = {}, []
    for name in params.sets:
        path = _one(roots, corpus, name, corpus.parts[name].protocol)
        table, bad = _labelled(roots, corpus, name, path, nonspeech)
        problems += bad
        if not bad and len(table) != params.trials[name]:
            last = table["line"].iloc[-1] if len(table) else 1
            problems.append(
                f"{path}, line {last}: part {name} ends after {len(table):,} utterances, expected "
                f"{params.trials[name]:,}; for another release change `trials` in the preset"
            )
        tables[name] = table
    trialfiles.refuse(problems, "labels")

    def parts() -> Iterator[Part]:
        for name, table in tables.items():
            rows = table.drop(columns=["duration", "regions"]).assign(set=params.sets[name])
            yield rows, _audio(roots, corpus, name)

    table = with_audio(parts(), corpus.title, params, params.max_orphans, workers)
    regions = {
        row.utterance: (row.regions, row.duration)
        for labels in tables.values()
        for row in labels.itertuples()
    }
    return _with_regions(table, regions, corpus.title)


def _one(roots: list[Path], corpus: PartialCorpus, part: str, ending: str) -> Path:
    matching = archives.find(roots, ending)
    if len(matching) != 1:
        where = ", ".join(map(str, matching)) or f"nowhere in {', '.join(map(str, roots))}"
        raise MixframeError(
            f"{corpus.title}, part {part}: expected one {ending}, found {where}; see {corpus.page}"
        )
    return matching[0]


def _labelled(
    roots: list[Path],
    corpus: PartialCorpus,
    name: str,
    path: Path,
    nonspeech: regionfiles.Nonspeech,
) -> tuple["pd.DataFrame", list[str]]:
    """Return utterances with line, file, label, speaker, attack, duration and regions."""
    import pandas as pd

    read = regionfiles.READERS[corpus.labels]
    if corpus.form is not None:
        trials, problems = trialfiles.read(path, corpus.form)
        place = _one(roots, corpus, name, corpus.regions[name])
        labels, bad = read(place, nonspeech)
        problems += bad
        if problems:
            return trials, problems
        joined = trials.merge(
            labels.drop(columns="line"), on="utterance", how="left", suffixes=("", "_told")
        )
        for row in joined.itertuples():
            if row.label_told != row.label:
                told = row.label_told if isinstance(row.label_told, str) else "not labelled"
                problems.append(
                    f"{path}, line {row.line}: {row.utterance} is {row.label}, in {place} it is "
                    f"{told}"
                )
        return joined.drop(columns="label_told").assign(file=str(path)), problems
    damaged = trialfiles.bytes_problems(path.read_bytes())
    if damaged:
        return pd.DataFrame(), [f"{path}, line {n}: {what}" for n, what in damaged]
    table, problems = read(path, nonspeech)
    if corpus.by_path:
        inside = table["utterance"].str.startswith(f"{corpus.parts[name].audio}/")
        table = table[inside].reset_index(drop=True)
    described = [
        corpus.describe(utterance, label == "spoof")
        for utterance, label in zip(table["utterance"], table["label"], strict=True)
    ]
    speakers, attacks = ([row[i] for row in described] for i in range(2))
    return table.assign(speaker=speakers, attack=attacks, file=str(path)), problems


def _audio(roots: list[Path], corpus: PartialCorpus, name: str) -> Iterator[tuple[str, Target]]:
    """Yield every audio file below the folders of a part, by file name or by path from them."""
    part = corpus.parts[name]
    for top in archives.find(roots, part.audio):
        place = stored(top)
        for folder, _, files in os.walk(top, followlinks=True):
            for file in sorted(files):
                if file.endswith(corpus.suffix):
                    path = Path(folder, file)
                    inner = path.relative_to(top).as_posix()
                    stem = f"{part.audio}/{inner}" if corpus.by_path else file
                    ref = AudioRef(f"{place}/{inner}")
                    yield stem.removesuffix(corpus.suffix), target(ref, path.stat())


def _with_regions(
    table: "pd.DataFrame", regions: dict[str, tuple[list[int], int]], title: str
) -> "pd.DataFrame":
    """Put regions, given with durations in nanoseconds, into the manifest in samples."""
    rows, problems = [], []
    for utterance, samples in zip(table["utterance"], table["samples"], strict=True):
        edges, duration = regions[utterance]
        flat = [round(edge * SAMPLE_RATE / regionfiles.SECOND) for edge in edges]
        if flat and flat[-2] >= samples:
            problems.append(
                f"{utterance}: a fake part begins at {edges[-2] / regionfiles.SECOND:g} s, after "
                f"the {samples / SAMPLE_RATE:g} s of its audio"
            )
        # Rounded durations must not leave a sample of an utterance that is fake throughout.
        flat = [0, samples] if edges == [0, duration] else [min(edge, samples) for edge in flat]
        rows.append(flat)
    if problems:
        raise MixframeError(f"{title}: labels and audio disagree\n{listing(problems)}")
    left_out = table.attrs["left_out"]
    table = table.assign(regions=rows)
    table.attrs["left_out"] = left_out
    return table
