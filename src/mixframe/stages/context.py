"""What every stage starts from: the preset, its files, its lock, its clock."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pandas as pd

from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.files import (
    digest,
    raise_refused,
    sha256_file,
    stage_lock,
    write_json,
    write_text,
)
from mixframe.base.progress import is_main, log
from mixframe.base.schema import Section
from mixframe.experiment import params as parameters
from mixframe.experiment.code import check_version, fingerprint
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import Grid, Preset

Run = TypeVar("Run", bound=Callable[..., None])


@dataclass(frozen=True)
class Context:
    """A stage's surroundings.

    Attributes:
        name: the preset's name.
        grid: the cells of the experiment.
        seed: of splice plans and training; corpus, foundation model and intervals have the
            preset's own.
        compute: the preset's, with what the command line overrides and every 0 replaced by the
            number of cores; it never changes a result.
    """

    name: str
    preset: Preset
    grid: Grid
    files: Layout
    compute: Compute
    seed: int


def open_context(
    name: str | None,
    compute: dict[str, Any],
    cell: Mapping[str, str] = MappingProxyType({}),
    seed: int | None = None,
) -> Context:
    """Read a preset and its grid.

    Args:
        name: of the preset; None for the one that params.yaml chooses.
        compute: overrides the preset's keys of that name.
        cell: system, policy and set_name of the cell to run, where it has them.
        seed: None for the first one of the grid; stages without a cell have none, and neither has
            the held-out splice.

    Raises:
        MixframeError: the preset is not valid, or the grid has no such cell.
    """
    choice = parameters.read_choice()
    if message := check_version(Path()):
        raise MixframeError(message)
    name = name or choice.preset
    preset = parameters.read_preset(name)
    grid = preset.grid
    if name in (choice.preset, choice.trained):
        grid = choice.grid
        parameters.check_grid(grid, preset)
    seeded = bool(cell) and HELDOUT not in cell.values()
    if seed is None:
        seed = grid.seed[0] if seeded else 0
    parameters.check_cell(grid, cell, seed if seeded else None)
    resolved = preset.compute.model_copy(update=compute).resolved()
    files = Layout(name, seed, preset.base, preset.trained)
    return Context(name, preset, grid, files, resolved, seed)


def parallel(run: Run) -> Run:
    """Mark a stage's `run`: `compute.processes` processes of this machine share its work."""
    return run


def start_processes(context: Context, stage: str, cell: Mapping[str, str]) -> None:
    """Go on in each of compute.processes processes; returns in the started ones only.

    Raises:
        MixframeError: they cannot have equally many slices of a batch.
    """
    processes = context.compute.processes
    if processes == 1 or "WORLD_SIZE" in os.environ:
        return
    section, key = getattr(context.preset, stage), stage
    if isinstance(section, dict):
        section, key = section.get(cell["system"]), f"{stage}.{cell['system']}"
    if train := getattr(section, "train", None):
        train.share(processes, key)
    from mixframe.base.processes import launch

    launch(processes)


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

    Raises:
        MixframeError: the place is read-only or no folder.
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise_refused(error, str(folder))
    try:
        yield temporary
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(temporary.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def state_key(stage: str, values: Mapping[str, Any], inputs: list[Path]) -> str:
    """Return a hash of a stage's parameters, its inputs' content and the code that it runs.

    A checkpoint is found again only by a run that would have made it.

    Args:
        stage: its name.
        values: sections of the preset and single values.
    """
    plain = {k: v.model_dump() if isinstance(v, Section) else v for k, v in values.items()}
    code = fingerprint(stage, list(values.values()))
    return digest({"values": plain, "inputs": [sha256_file(p) for p in inputs], "code": code})


def write_rows(rows: list[dict[str, float]], path: Path) -> None:
    """Write a training curve as CSV, floats in their shortest exact form."""
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
