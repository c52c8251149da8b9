"""What a run would see of corpora of kind `table`, in seconds and without writing anything.

All trials are read and counted, ten files of each set are decoded. What was heard in training and
is tried again is contamination; it is looked for over all corpora of a preset.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mixframe.audio.io import AudioRef
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import sha256_file
from mixframe.base.folders import data_root, located, stored
from mixframe.corpora import cut, table
from mixframe.corpora.probe import Probed, probe_one

if TYPE_CHECKING:
    import pandas as pd

PROBED = 10
"""Files of a set that are decoded."""
TRAINING = ("train", "dev")
"""Sets that training looks at."""
MOST_BYTES = 2**30
"""Contents are compared of so many bytes at most: more would take minutes."""
SHOWN = 5
"""Contaminated trials of a set that are named."""


class Seen(NamedTuple):
    """What a run would see of a corpus.

    Attributes:
        trials: as `table.rows` returns them, and path, as the manifest would have it.
        lines: what to print.
        problems: what would stop the run, or may.
    """

    trials: "pd.DataFrame"
    lines: list[str]
    problems: list[str]


def look(name: str, download: table.Download, protocol: table.Protocol) -> Seen:
    """Read a corpus, and decode a few files of each set.

    Args:
        name: of the corpus in the preset.

    Raises:
        MixframeError: as `table.located` and `table.rows`.
    """
    root = table.source(download, data_root() / name)
    with tempfile.TemporaryDirectory() as scratch:
        entry = table.located(download, root, Path(scratch))
        files = [file | {"path": str(located(file["path"]))} for file in entry["files"]]
        trials = table.rows(protocol, entry | {"roots": [str(root)], "files": files})
    trials["path"] = [f"{stored(root)}/{audio}" for audio in trials["audio"]]
    lines = [f"{name}: {download.title}; {download.page}; licence: {download.licence}"]
    problems = []
    for set_name, of_set in trials.groupby("set"):
        counts = of_set["label"].value_counts()
        probed = list(_probe(of_set, protocol))
        lines.append(f"  {set_name}: {_counted(of_set)}; {_formats([p for _, p in probed])}")
        problems += [f"{where}: {result.problem}" for where, result in probed if result.problem]
        for label in ("bonafide", "spoof"):
            if label not in counts:
                lines.append(f"  {set_name}: no {label} trials here: no EER without another corpus")
    for set_name, label, count in table.unchecked(protocol, trials):
        lines.append(f"  unchecked: `trials` could hold {set_name}: {{{label}: {count}}}")
    return Seen(trials, lines, problems)


def _counted(trials: "pd.DataFrame") -> str:
    counts = trials["label"].value_counts()
    attacks = trials.loc[trials["label"] == "spoof", "attack"].nunique()
    speakers = trials.loc[trials["speaker"] != "-", "speaker"].nunique()
    return (
        f"{len(trials):,} trials ({counts.get('bonafide', 0):,} bona fide, "
        f"{counts.get('spoof', 0):,} spoof), {attacks} attacks, {speakers or 'unknown'} speakers"
    )


def _probe(trials: "pd.DataFrame", protocol: table.Protocol) -> Iterator[tuple[str, Probed]]:
    step = max(1, len(trials) // PROBED)
    for row in trials.iloc[::step].head(PROBED).itertuples():
        where = f"{row.file}, line {row.line}: {row.utterance}"
        if protocol.segments.kind == "whole":
            yield where, probe_one(AudioRef(row.path), decode=True)
            continue
        try:
            heard = cut.decode(located(row.path))
            yield where, Probed(len(heard.wave), heard.rate, heard.channels, "")
        except (MixframeError, OSError) as error:
            yield where, Probed(0, 0, 0, str(error))


def _formats(probed: list[Probed]) -> str:
    good = [one for one in probed if not one.problem]
    if not good:
        return f"none of {len(probed)} files can be used"
    rates = ", ".join(f"{rate:,} Hz" for rate in sorted({one.rate for one in good}))
    channels = ", ".join(str(n) for n in sorted({one.channels for one in good}))
    shortest, longest = (f(one.samples for one in good) / 16_000 for f in (min, max))
    return (
        f"{len(good)} of {len(probed)} files decoded: {rates}, channels {channels}, "
        f"{shortest:.2f} to {longest:.2f} s"
    )


def contamination(trials: "pd.DataFrame") -> list[str]:
    """Count and name the trials of evaluation sets that training has heard.

    Args:
        trials: set, utterance, path, offset and prompt of all corpora.

    Returns:
        a line for each set and reason: the same audio, by path or by content, or a source
        recording or text (`prompt`) of a training set. Contents are compared of files of equal size
        alone.
    """
    training = trials["set"].isin(TRAINING)
    heard, tried = trials[training], trials[~training]
    places = set(zip(heard["path"], heard["offset"], strict=True))
    same = [place in places for place in zip(tried["path"], tried["offset"], strict=True)]
    equal = _equal_content(heard["path"], tried["path"])
    prompts = set(heard["prompt"]) - {"-"}
    lines = []
    if equal is None:
        lines.append(f"contents were not compared: more than {MOST_BYTES / 2**30:g} GiB")
    for mask, what in (
        (same, "have their audio in a training set"),
        (
            tried["path"].isin(equal or set()),
            "have their audio in a training set under another name",
        ),
        (tried["prompt"].isin(prompts), "share a source or text (prompt) with a training set"),
    ):
        for name, of_set in tried[mask].groupby("set"):
            shown = ", ".join(of_set["utterance"].head(SHOWN))
            more = f" and {len(of_set) - SHOWN:,} more" if len(of_set) > SHOWN else ""
            lines.append(f"{name}: {len(of_set):,} trials {what}: {shown}{more}")
    return lines


def _equal_content(heard: "pd.Series", tried: "pd.Series") -> set[str] | None:
    """Return the paths of whole files of `tried` that equal one of `heard` under another path.

    None if there is too much to compare.
    """
    sizes = {path: _size(path) for path in {*heard, *tried}}
    others = set(tried) - set(heard)
    common = {sizes[p] for p in heard} & {sizes[p] for p in others} - {0}
    candidates = [p for p in sizes if sizes[p] in common]
    if sum(sizes[p] for p in candidates) > MOST_BYTES:
        return None
    hashes = {p: sha256_file(located(p)) for p in candidates}
    known = {hashes[p] for p in candidates if p not in others}
    return {p for p in candidates if p in others and hashes[p] in known}


def _size(path: str) -> int:
    place = located(path)
    return place.stat().st_size if place.is_file() else 0


def check(corpora: Mapping[str, tuple[Any, Any]], others: "pd.DataFrame | None") -> list[str]:
    """Say what a run would see of the corpora of a preset.

    Args:
        corpora: sections `download` and `protocol` by name.
        others: the manifest of an earlier run, for corpora of other kinds; None where there is
            none.

    Returns:
        what to print.

    Raises:
        MixframeError: a corpus cannot be read, or files that were decoded cannot be used.
    """
    import pandas as pd

    lines, problems = [], []
    parts = []
    for name, (download, protocol) in corpora.items():
        if protocol.kind != "table":
            said = "as in the manifest" if others is not None else "`mixframe protocol` reads it"
            lines.append(f"{name}: kind {protocol.kind}: not read here; {said}")
            continue
        seen = look(name, download, protocol)
        lines += seen.lines
        problems += seen.problems
        parts.append(seen.trials.assign(offset=0))
    if others is not None:
        mine = {name for part in parts for name in part["utterance"]}
        parts.append(others[~others["utterance"].isin(mine)])
    if parts:
        trials = pd.concat(parts, ignore_index=True)
        if "prompt" not in trials:
            trials["prompt"] = "-"
        trials["prompt"] = trials["prompt"].fillna("-")
        shared = contamination(trials)
        lines += ["contamination:", *(f"  {line}" for line in shared or ["none"])]
    if problems:
        text = "\n".join(lines)
        raise MixframeError(
            f"{text}\n{len(problems)} of the files that were decoded cannot be used:\n"
            f"{listing(problems)}"
        )
    return lines
