"""What every stage starts from: the preset, its files, its lock, its clock."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import mixframe
from mixframe.base.compute import Compute
from mixframe.base.files import digest, sha256_file, stage_lock, write_json, write_text
from mixframe.base.progress import is_main, log
from mixframe.experiment import params as parameters
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset


@dataclass(frozen=True)
class Context:
    """A stage's surroundings.

    Attributes:
        name: the preset's name.
        seed: of splice plans and training; corpus, foundation model and intervals have the
            preset's own.
        compute: the preset's, with what the command line overrides and every 0 replaced by the
            number of cores; it never changes a result.
    """

    name: str
    preset: Preset
    files: Layout
    compute: Compute
    seed: int


def open_context(name: str, compute: dict[str, Any], seed: int = 0) -> Context:
    """Read a preset; `compute` overrides its keys of that name.

    Raises:
        MixframeError: the preset is not valid.
    """
    preset = parameters.read_preset(name)
    resolved = preset.compute.model_copy(update=compute).resolved()
    return Context(name, preset, Layout(name, seed), resolved, seed)


@contextmanager
def running(context: Context, stage: str, cell: str = "") -> Iterator[None]:
    """Hold the lock of a stage and note the time it took.

    Of several processes, the first does.

    Raises:
        MixframeError: another process is running this cell.
    """
    if not is_main():
        yield
        return
    title = " ".join(part for part in (stage, context.name, cell) if part)
    with stage_lock(context.files.lock(stage, cell or "all"), title):
        start = time.monotonic()
        log(f"{title}: start")
        yield
        seconds = time.monotonic() - start
        log(f"{title}: done in {seconds:.1f} s")
    path = context.files.timings
    with stage_lock(path.with_suffix(".lock"), "timings", wait=60):
        key = f"{stage}@{cell}" if cell else stage
        known = json.loads(path.read_text()) if path.is_file() else {}
        write_json(path, {**known, key: round(seconds, 2)})


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` whose files replace those in `folder` at the end.

    A stage with several outputs writes them all before the first one appears.
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(temporary.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def state_key(values: dict[str, Any], inputs: list[Path]) -> str:
    """Return a hash of a stage's parameters, its inputs' content and this package's source.

    A checkpoint is found again only by a run that would have made it.
    """
    source = Path(mixframe.__file__).parent
    code = {str(p.relative_to(source)): sha256_file(p) for p in sorted(source.rglob("*.py"))}
    return digest({"values": values, "inputs": [sha256_file(p) for p in inputs], "code": code})


def write_rows(rows: list[dict[str, float]], path: Path) -> None:
    """Write a training curve as CSV, floats in their shortest exact form."""
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
