"""Datasets of the Speech Anti-Spoofing Arena on the Hugging Face hub: audio inside Parquet.

Each is a repository of SpeechAntiSpoofingBenchmarks with `data/test-*.parquet` of four columns:
path, audio (a struct with the encoded bytes), label (0 bonafide, 1 spoof) and notes, a JSON object
with utterance_id and what else the corpus knows (github.com/lab260ru/speech_spoof_bench,
docs/developing/new-dataset.md). Parquet compresses its pages, so audio cannot be read in place:
each shard becomes a plain tar and a table of its trials. Most repositories also have
`data/labels.parquet`, utterance_id and label alone: by it the maintainers check score files.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mixframe.audio.io import AudioRef, TarWriter, tar_writer
from mixframe.audio.manifest import COLUMNS
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path, need_space, stage_lock
from mixframe.base.folders import data_root, stored
from mixframe.base.labels import LABELS
from mixframe.base.progress import log, progress
from mixframe.base.schema import Count, Section
from mixframe.corpora.archives import GIB
from mixframe.corpora.probe import Target, target
from mixframe.corpora.source import pin
from mixframe.corpora.trials import Audited, with_audio
from mixframe.metrics.trialfiles import NO_ATTACK, refuse

if TYPE_CHECKING:
    import pandas as pd

    from mixframe.base.tables import Columns

SHARDS = "data/test-*.parquet"
LABELS_FILE = "labels.parquet"
"""Beside the shards."""
TRIALS = ".trials.parquet"
"""How the name of a shard's table of trials ends."""
NAMES = {"speaker_id": "speaker", "phase": "subset"}
"""Keys of the notes that the manifest has other names for."""
MAKERS = ("generator", "vocoder", "system_id", "algorithm")
"""Keys of the notes that name what made a spoof where neither attack_id nor attack does."""
FILLED = ("speaker", "attack", "codec", "subset", "prompt")
"""Columns of the manifest that notes may fill."""
TRIAL: "Columns" = {
    **dict.fromkeys(("utterance", "label", "speaker", "attack"), "text"),
    **dict.fromkeys(("offset", "n_bytes", "line"), "int"),
}
"""Columns of a table of trials; those of the notes come beside them."""
ROWS = 64
"""Rows of a shard in memory at once."""


class Download(Section):
    """Where a dataset comes from.

    Attributes:
        repo: for instance SpeechAntiSpoofingBenchmarks/InTheWild.
        revision: commit of the repository.
        path: a folder with the repository's content, which is only read; it wins over the hub.
        disk_gb: what shards and tars take together, checked before anything starts.
    """

    kind: Literal["arena"]
    repo: Annotated[str, Field(pattern=r"^[\w.\-]+/[\w.\-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: str
    disk_gb: Count


class Protocol(Audited):
    """How the trials of a dataset become a set of the manifest.

    Attributes:
        set: of the manifest.
        subsets: which subsets are taken, where the notes have any; [] takes all trials.
        trials: how many the dataset must have; 0 for as many as its labels.parquet has.
        prefix: put before the ids of its trials, where several datasets of a preset share ids.
    """

    kind: Literal["arena"]
    set: str
    subsets: list[str]
    trials: Count
    prefix: str


def download(params: Download, folder: Path) -> dict[str, Any]:
    """Fetch the shards and turn each into a tar and a table; those that are there are kept.

    Returns:
        kind, and files: path, bytes and sha256 of the tables, `<shard>.trials.parquet`, and of
        labels.parquet where the dataset has one; the tars lie beside them.

    Raises:
        MixframeError: the hub does not serve the dataset, the disk is too small, there are no
            shards, or one is not of the documented form; with shard and row.
    """
    with stage_lock(folder / ".lock", f"download of {params.repo}"):
        source = data_root() / params.path if params.path else _fetch(params, folder)
        shards = sorted(source.glob(SHARDS))
        if not shards:
            raise MixframeError(f"{source}: no {SHARDS} in it; see {_page(params)}")
        tables = [folder / f"{shard.stem}{TRIALS}" for shard in shards]
        for shard, table in zip(shards, tables, strict=True):
            if not table.is_file() or not _tar(table).is_file():
                _unpack(shard, table)
        labels = shards[0].with_name(LABELS_FILE)
        if labels.is_file():
            with atomic_path(folder / LABELS_FILE) as temporary:
                shutil.copyfile(labels, temporary)
            tables.append(folder / LABELS_FILE)
    return {"kind": params.kind, "files": [pin(table) for table in tables]}


def _page(params: Download) -> str:
    return f"https://huggingface.co/datasets/{params.repo}"


def _fetch(params: Download, folder: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    log(f"  {_page(params)} at {params.revision}; licence: see there")
    if not any(folder.glob(f"*{TRIALS}")):
        need_space(folder, params.disk_gb * GIB, params.repo)
    hub = folder / "hub"
    try:
        snapshot_download(
            params.repo,
            repo_type="dataset",
            revision=params.revision,
            allow_patterns=[SHARDS, f"data/{LABELS_FILE}"],
            local_dir=hub,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MixframeError(
            f"{params.repo} at revision {params.revision}: the hub did not serve it "
            f"({type(error).__name__}). By hand: fetch {SHARDS} from {_page(params)} into a folder "
            "and write the folder that holds data/ into the key `path`"
        ) from error
    return hub


def _tar(table: Path) -> Path:
    """Return the tar with the audio of a table of trials."""
    return table.with_name(table.name.removesuffix(TRIALS) + ".tar")


def _unpack(shard: Path, table: Path) -> None:
    import pandas as pd

    with tar_writer(_tar(table)) as audio:
        rows = pd.DataFrame(list(_trials(shard, audio)))
    # Once the table is there, the tar is whole.
    with atomic_path(table) as temporary:
        rows.to_parquet(temporary, index=False, compression="zstd")


def _trials(shard: Path, audio: TarWriter) -> Iterator[dict[str, Any]]:
    """Yield the trials of a shard, adding their audio to a tar."""
    from mixframe.base.tables import parquet_columns, read_rows

    names, total = parquet_columns(shard)
    if set(names) != {"path", "audio", "label", "notes"}:
        raise MixframeError(
            f"{shard}: has the columns {', '.join(sorted(names))}, expected path, audio, "
            "label and notes"
        )
    rows = read_rows(shard, {"path": "text", "notes": "text"}, ROWS)
    for number, row in enumerate(progress(rows, total, shard.name, "trials"), start=1):
        try:
            yield _trial(row, audio) | {"line": number}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MixframeError(
                f"{shard}, row {number}: {error!r}; expected audio with bytes, label 0 or 1 "
                "and notes with an utterance_id"
            ) from error


def _trial(row: dict[str, Any], audio: TarWriter) -> dict[str, Any]:
    notes = {key: value for key, value in json.loads(row["notes"]).items() if value is not None}
    name, encoded = str(notes.pop("utterance_id")), row["audio"]["bytes"]
    if not name or len(name.split()) != 1:
        raise ValueError(f"utterance_id {name!r} is empty or has spaces")
    if not encoded:
        raise ValueError(f"no audio for {name}")
    label = row["label"] if row["label"] in LABELS else LABELS[(0, 1).index(row["label"])]
    ref = audio.add(f"{name}{Path(row['path']).suffix}", encoded)
    attacks = [str(notes.pop(key, "-")) for key in ("attack_id", "attack")]
    attack = next((value for value in attacks if value not in NO_ATTACK), "unknown")
    trial = {NAMES.get(key, key): str(value) for key, value in notes.items()}
    trial = {k if k not in COLUMNS or k in FILLED else f"notes_{k}": v for k, v in trial.items()}
    return {
        **trial,
        "utterance": name,
        "label": label,
        "speaker": trial.get("speaker", "-"),
        "attack": "-" if label == "bonafide" else attack,
        "offset": ref.offset,
        "n_bytes": ref.n_bytes,
    }


def protocol(
    params: Protocol, seed: int, entry: dict[str, Any], audio: TarWriter, workers: int
) -> "pd.DataFrame":
    """Read the trials and the audio of a dataset; `seed` and `audio` are not used.

    Returns:
        what `trials.with_audio` returns.

    Raises:
        MixframeError: duplicate ids, a wrong number of trials, labels that are not those of
            labels.parquet, no trial of the subsets, or as `trials.with_audio`.
    """
    import pandas as pd

    from mixframe.base.tables import read_parquet

    paths = [Path(file["path"]) for file in entry["files"]]
    listed = [read_labels(path) for path in paths if path.name == LABELS_FILE]
    paths = [path for path in paths if path.name != LABELS_FILE]
    if not paths:
        raise MixframeError(f"{params.set}: download.json names no table of trials of this dataset")
    tables = {
        path: read_parquet(path, TRIAL, "download").assign(file=path.as_posix()) for path in paths
    }
    files = [
        (params.prefix + name, place)
        for path, trials in tables.items()
        for name, place in _audio(_tar(path), trials)
    ]
    table = pd.concat(tables.values(), ignore_index=True).drop(columns=["offset", "n_bytes"])
    problems = [
        f"{row.file}, line {row.line}: utterance {row.utterance!r} is there twice"
        for row in table[table["utterance"].duplicated()].itertuples()
    ]
    if params.trials and len(table) != params.trials:
        problems.append(f"{paths[-1]}: {len(table):,} trials, expected {params.trials:,}")
    if not params.trials and not listed:
        problems.append(f"trials = 0: the dataset has no {LABELS_FILE}; give their number")
    for labels in listed:
        problems += _differences(table, labels)
    table["utterance"] = params.prefix + table["utterance"]
    if params.subsets and "subset" not in table:
        problems.append(f"subsets = {params.subsets}: the notes of this dataset have none")
    refuse(problems, "a dataset")
    table = table.fillna("-").assign(set=params.set)
    for key in [key for key in MAKERS if key in table]:
        unknown = (table["attack"] == "unknown") & ~table[key].isin(NO_ATTACK)
        table.loc[unknown, "attack"] = table[key]
    if params.subsets:
        table["set"] = table["set"].where(table["subset"].isin(params.subsets))
    return with_audio([(table, files)], params.kind, params, 0, workers)


def _differences(table: "pd.DataFrame", labels: dict[str, str]) -> list[str]:
    """Say where trials differ from labels.parquet, in id, label or number of a class."""
    own = dict(zip(table["utterance"], table["label"], strict=True))
    problems = [f"{name!r} is in {LABELS_FILE}, in no shard" for name in labels.keys() - own.keys()]
    problems += [
        f"{name!r} is {label}, {labels.get(name, 'not there')} in {LABELS_FILE}"
        for name, label in own.items()
        if labels.get(name) != label
    ]
    return sorted(problems)


def read_labels(path: Path) -> dict[str, str]:
    """Read a labels.parquet.

    Returns:
        bonafide or spoof by utterance id, in the order of the file.

    Raises:
        MixframeError: the file is missing, no Parquet, or without the columns utterance_id and
            label; an id is there twice, or a label is not 0 or 1.
    """
    from mixframe.base.tables import read_parquet

    table = read_parquet(path, {"utterance_id": "text", "label": "int"})
    pairs = list(zip(table["utterance_id"].tolist(), table["label"].tolist(), strict=True))
    problems = [f"label {n} of {name!r}, expected 0 or 1" for name, n in pairs if n not in (0, 1)]
    repeated = Counter(name for name, _ in pairs)
    problems += [f"{name!r} is there {n} times" for name, n in repeated.items() if n > 1]
    if problems:
        raise MixframeError(f"{path}:\n{listing(problems)}")
    return {name: LABELS[n] for name, n in pairs}


def _audio(tar: Path, trials: "pd.DataFrame") -> Iterator[tuple[str, Target]]:
    if not tar.is_file():
        raise MixframeError(f"{tar}: no such file; `mixframe download` makes it again")
    info, place = tar.stat(), stored(tar)
    for name, offset, n in zip(
        trials["utterance"], trials["offset"], trials["n_bytes"], strict=True
    ):
        yield name, target(AudioRef(place, int(offset), int(n)), info)
