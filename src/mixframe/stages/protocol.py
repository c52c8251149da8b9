"""Stage protocol: read or make the corpora of a preset and write the manifest.

Reads: results/<preset>/download/download.json, data/<corpus>/, the preset's `protocol` section and
`seed`.
Writes: results/<preset>/corpus/{manifest.parquet, protocol.txt, audio.tar} and
results/<preset>/checks/{left_out.csv, shortcuts.csv}.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.io import tar_writer
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import sha256_file, write_text
from mixframe.base.folders import located
from mixframe.base.progress import log
from mixframe.base.shown import cells
from mixframe.corpora.kinds import KINDS
from mixframe.corpora.shortcuts import shortcuts
from mixframe.corpora.source import LeftOut, read_entries
from mixframe.stages.context import Context, running


def run(context: Context) -> None:
    """Run the stage.

    Raises:
        MixframeError: a corpus is not what its section says, an audio file cannot be used, a set
            is empty, or a trivial statistic separates bona fide from spoof.
    """
    files, params = context.files, context.preset.protocol
    with running(context, "protocol"):
        entries = read_entries(files.download)
        tables = []
        with tar_writer(files.audio) as audio:
            for name, section in params.corpora.items():
                if name not in entries:
                    raise MixframeError(
                        f"protocol.corpora.{name}: {files.download} has no entry for it; "
                        f"add download.{name} to the preset"
                    )
                entry = downloaded(entries[name], context.name)
                if (kind := entries[name]["kind"]) != section.kind:
                    raise MixframeError(
                        f"{files.download}, {name}: of kind {kind}, protocol.corpora.{name} of "
                        f"kind {section.kind}; run `mixframe download --preset {context.name}`"
                    )
                make = KINDS[section.kind].protocol
                seed, workers = context.preset.seed, context.compute.workers
                tables.append(make(section, seed, entry, audio, workers))
            left_out = [row for table in tables for row in table.attrs.pop("left_out", [])]
            table = manifest.check(combine(tables), str(files.manifest))
        counts = table.groupby("set")["label"].value_counts().unstack(fill_value=0)
        for name in counts.index:
            log(f"  {name}: {', '.join(f'{n:,} {c}' for c, n in counts.loc[name].items())}")
        statistics = shortcuts(table)
        try:
            _refuse_shortcuts(statistics, params.shortcut_min_eer)
        except MixframeError:
            files.audio.unlink()
            raise
        write_text(files.left_out, _csv(pd.DataFrame(left_out, columns=LeftOut._fields)))
        write_text(files.shortcuts, _csv(statistics))
        write_text(files.protocol, protocol_lines(table))
        manifest.write(table, files.manifest)


def combine(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack the rows of several corpora; "-", or 0, in columns that a corpus does not have."""
    table = pd.concat(tables, ignore_index=True)
    for name in table.columns[table.isna().any()]:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        table[name] = table[name].fillna(0).astype("int64") if numeric else table[name].fillna("-")
    return table


def _csv(table: pd.DataFrame) -> str:
    return cells(table).to_csv(index=False, lineterminator="\n")


def protocol_lines(table: pd.DataFrame) -> str:
    """Return the manifest as lines of an ASVspoof 2019 LA protocol: `SPEAKER UTT - ATTACK KEY`."""
    columns = (table[c] for c in ("speaker", "utterance", "attack", "label"))
    rows = zip(*columns, strict=True)
    return "".join(f"{s.replace(' ', '_')} {u} - {a} {k}\n" for s, u, a, k in rows)


def downloaded(entry: dict[str, Any], preset: str) -> dict[str, Any]:
    """Return an entry of download.json with the paths that its files have on this machine.

    Raises:
        MixframeError: files are gone, or are not what download.json pins.
    """
    here = entry | {"roots": [str(located(root)) for root in entry.get("roots", [])]}
    problems = [f"{root}: not there" for root in here["roots"] if not Path(root).exists()]
    for key in ("files", "asv"):
        here[key] = [f | {"path": str(located(f["path"]))} for f in entry.get(key, [])]
        for file in here[key]:
            path = Path(file["path"])
            if not path.is_file():
                problems.append(f"{path}: no such file")
            elif (size := path.stat().st_size) != file["bytes"]:
                problems.append(f"{path}: {size:,} bytes, expected {file['bytes']:,}")
            elif (actual := sha256_file(path)) != file["sha256"]:
                problems.append(f"{path}: sha256 {actual}, expected {file['sha256']}")
    if problems:
        raise MixframeError(
            f"downloaded files are not there as they were; run "
            f"`mixframe download --preset {preset}`:\n{listing(problems)}"
        )
    return here


def _refuse_shortcuts(statistics: pd.DataFrame, lowest: float) -> None:
    bad = statistics[statistics["eer"] < lowest]
    if len(bad):
        lines = [f"{r.statistic} on {r.set}: EER {r.eer:.3f}" for r in bad.itertuples()]
        raise MixframeError(
            "a statistic that needs no detector separates bona fide from spoof below "
            f"protocol.shortcut_min_eer = {lowest}:\n{listing(lines)}"
        )
