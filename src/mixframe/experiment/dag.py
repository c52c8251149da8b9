"""The cells of dvc.yaml as Snakemake and the report need them, and the way back into dvc.lock.

dvc.yaml stays the only definition of the pipeline: its stage templates become rules with wildcards,
and the cells that DVC makes of them say what each one reads, writes and runs. What is up to date is
what DVC says; Snakemake is told by the times of files.
"""

import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dvc.dependency.param import ParamsDependency
from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage
from dvc.utils import serialize

from mixframe.base.errors import MixframeError
from mixframe.base.files import digest, json_text, write_text
from mixframe.base.folders import STATE
from mixframe.base.progress import log
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment import code, params
from mixframe.experiment.templates import CODE, paths

PIPELINE = "dvc.yaml"
LOCK = "dvc.lock"
LOCKS = "locks"
"""What dvc.lock says of presets that are not chosen."""


@dataclass(frozen=True)
class Cell:
    """One command of the pipeline, as DVC resolves it.

    Attributes:
        name: DVC's, for instance posttrain@demo-mfpt-0.
        inputs: files it reads; where dvc.yaml names a folder, what other cells write there.
            Fingerprints of code are not among them.
        stamp: hash of the command, of the values of the parameters it reads and of its code.
    """

    name: str
    command: str
    inputs: list[str]
    outputs: list[str]
    stamp: str

    @property
    def mark(self) -> Path:
        """File that says this cell ran outside DVC and waits to be committed."""
        return STATE / "ran" / self.name

    @property
    def trigger(self) -> Path:
        """File that is newer than the outputs where DVC says that the cell must run."""
        return STATE / "cells" / self.name


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: a rule with a wildcard for each dimension of its matrix.

    Attributes:
        keys: the dimensions with more than one value in dvc.yaml, in its order.
        outputs: paths with {dimension} where values go.
        cells: by the values of `keys`.
        priority: the most cells that wait for one of its own; with the largest first, no long chain
            is left for the end.
    """

    name: str
    keys: tuple[str, ...]
    outputs: list[str]
    cells: dict[tuple[str, ...], Cell]
    priority: int

    @property
    def wildcards(self) -> dict[str, str]:
        """A regular expression of each dimension's values."""
        columns = zip(*self.cells, strict=True)
        return {
            key: "|".join(re.escape(value) for value in dict.fromkeys(values))
            for key, values in zip(self.keys, columns, strict=True)
        }

    @property
    def log(self) -> str:
        """Path of a cell's log with {dimension} where values go."""
        cell = "-".join(f"{{{key}}}" for key in self.keys) or "all"
        return f"logs/{self.name}/{cell}.log"

    def cell(self, values: Mapping[str, str]) -> Cell:
        """Return the cell with these values of the dimensions."""
        return self.cells[tuple(values[key] for key in self.keys)]


@contextmanager
def _repo(root: Path) -> Iterator[Repo]:
    # Else DVC says in its own words what is missing, or stops at a file that nothing makes.
    choice = params.read_choice(root)
    params.check_grid(choice.grid, params.read_preset(choice.preset, root))
    # DVC parses the whole preset anew for each cell, some 0.05 s a time.
    loaders = dict(serialize.LOADERS)
    serialize.LOADERS[".yaml"] = cache(serialize.load_yaml)
    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise MixframeError(f"{root / PIPELINE}: {error}") from error
    finally:
        serialize.LOADERS.clear()
        serialize.LOADERS.update(loaders)


def read_stages(root: Path = Path()) -> list[Stage]:
    """Read dvc.yaml through DVC's index, but for the stage that fingerprints code.

    Raises:
        MixframeError: DVC cannot read it, params.yaml or the preset is not valid, or an output's
            path is made of something else than the dimensions.
    """
    with _repo(root) as repo:
        return _stages(repo, root)


def _stages(repo: Repo, root: Path) -> list[Stage]:
    stages = list(repo.index.stages)
    made = [out.def_path for stage in stages for out in stage.outs]
    cells = {stage.addressing: _cell(stage, made) for stage in stages}
    behind = _behind(cells.values())
    resolver = load_file(repo, str(root / PIPELINE)).resolver
    rules = []
    for name, template in read_yaml(root / PIPELINE)["stages"].items():
        items = getattr(resolver.definitions[name], "normalized_iterable", {"": {}})
        if name not in CODE and items:
            keyed = {key: cells[f"{name}@{key}" if key else name] for key in items}
            priority = max(len(behind[cell.name]) for cell in keyed.values())
            rules.append(_rule(name, template, items, keyed, priority))
    return rules


def _behind(cells: Collection[Cell]) -> dict[str, set[str]]:
    """Return the names of the cells that need each cell, directly or through others."""
    needs: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        for path in cell.inputs:
            needs[path].append(cell.name)
    outputs = {cell.name: cell.outputs for cell in cells}
    behind: dict[str, set[str]] = {}

    def visit(name: str) -> set[str]:
        if name not in behind:
            direct = {other for path in outputs[name] for other in needs[path]}
            behind[name] = direct.union(*map(visit, direct))
        return behind[name]

    for name in outputs:
        visit(name)
    return behind


def _rule(
    name: str,
    template: Mapping[str, Any],
    items: Mapping[str, Any],
    cells: Mapping[str, Cell],
    priority: int,
) -> Stage:
    values = {key: {k: str(v) for k, v in item.items()} for key, item in items.items()}
    first = next(iter(values.values()))
    preset = first.get("preset", "")
    keys = tuple(key for key in first if key != "preset")

    def pattern(path: str) -> str:
        return re.sub(r"\$\{item\.(\w+)\}", r"{\1}", path).replace("{preset}", preset)

    outputs = [pattern(path) for path in paths(template, "outs", "metrics", "plots")]
    if not first:
        outputs = next(iter(cells.values())).outputs
    for key, cell in cells.items():
        wanted = sorted(_filled(path, values[key]) for path in outputs)
        if wanted != sorted(cell.outputs):
            raise MixframeError(
                f"{PIPELINE}: stage {name}: an output uses something else than ${{item...}}; "
                f"read as {wanted[0]}, where DVC has {sorted(cell.outputs)[0]}"
            )
    chosen = {tuple(values[key][k] for k in keys): cell for key, cell in cells.items()}
    return Stage(name, keys, outputs, chosen, priority)


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        pattern = pattern.replace(f"{{{key}}}", value)
    return pattern


def _cell(stage: PipelineStage, made: Iterable[str]) -> Cell:
    return Cell(
        stage.addressing,
        _command(stage),
        [path for dep in _files(stage) if not is_code(dep) for path in _beneath(dep, made)],
        [out.def_path for out in stage.outs],
        _stamp(stage),
    )


def _command(stage: PipelineStage) -> str:
    return stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd)


def _files(stage: PipelineStage) -> Iterator[str]:
    for dep in stage.deps:
        if not isinstance(dep, ParamsDependency):
            yield dep.def_path


def is_code(path: str) -> bool:
    """Tell whether a dependency is the fingerprint of a cell's code."""
    results, _, folder, *_ = *path.split("/"), "", "", ""
    return results == "results" and folder in CODE


def _beneath(path: str, made: Iterable[str]) -> list[str]:
    """Return the outputs beneath a folder, or the path itself."""
    return [out for out in made if out.startswith(f"{path.rstrip('/')}/")] or [path]


def _stamp(stage: PipelineStage) -> str:
    values = {
        f"{dep.def_path}:{key}": _at(serialize.load_path(dep.fs_path, stage.repo.fs), key)
        for dep in stage.deps
        if isinstance(dep, ParamsDependency)
        for key in dep.params
    }
    prints = [Path(stage.repo.root_dir, path) for path in _files(stage) if is_code(path)]
    hashes = [path.read_text() for path in prints if path.is_file()]
    return digest({"command": _command(stage), "values": values, "code": hashes})


def _at(values: Any, key: str) -> Any:
    """Return what stands under a dotted key, None where nothing does."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def make_folders(root: Path = Path()) -> None:
    """Make the folders that stages read from other stages, where there are none yet.

    `dvc repro --dry` stops at a dependency that it cannot hash (DVC's issues 9021 and 9818), and a
    folder without files can be. Fingerprints of code are written for the same reason.

    Raises:
        MixframeError: DVC cannot read the pipeline, params.yaml or the preset is not valid.
    """
    with _repo(root) as repo:
        _write_code(repo, root)
        stages = list(repo.index.stages)
    made = [out.def_path for stage in stages for out in stage.outs]
    for path in {path for stage in stages for path in _files(stage)}:
        if _beneath(path, made) != [path] and not (root / path).is_file():
            (root / path).mkdir(parents=True, exist_ok=True)


def choose_lock(preset: str, base: str, root: Path = Path()) -> None:
    """Leave in dvc.lock what it says of the cells of a preset and of its base alone.

    DVC parses and writes all of dvc.lock for each cell, and knows no cell of another preset. Those
    wait in locks/<name>.lock, and come back when their preset is chosen.
    """
    head, cells = _locked(root / LOCK)
    chosen = {name: text for name, text in cells.items() if _preset(text) in (preset, base, "")}
    for other in {_preset(text) for text in cells.values()} - {preset, base, ""}:
        theirs = {name: text for name, text in cells.items() if _preset(text) == other}
        write_text(_kept(other, root), head + "".join(theirs.values()))
    for name in dict.fromkeys((base, preset)):
        kept_head, kept = _locked(_kept(name, root))
        head = head or kept_head
        chosen |= {cell: text for cell, text in kept.items() if cell not in chosen}
        _kept(name, root).unlink(missing_ok=True)
    if not chosen:
        (root / LOCK).unlink(missing_ok=True)
    elif chosen != cells:
        write_text(root / LOCK, head + "".join(chosen.values()))


def _kept(preset: str, root: Path) -> Path:
    return root / LOCKS / f"{preset}.lock"


def _locked(path: Path) -> tuple[str, dict[str, str]]:
    """Return what stands before the cells of a lock file, and the text of each cell."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, *texts = re.split(r"(?m)^(?=  [^ \n])", text)
    return head, {cell.partition(":\n")[0].strip(): cell for cell in texts}


def _preset(cell: str) -> str:
    """Return the preset of a cell of a lock file, or "" where its command names none."""
    match = re.search(r"(?m)^    cmd: .* --preset (\S+)", cell)
    return match.group(1) if match else ""


def write_code(root: Path = Path(), folders: Sequence[str] = CODE) -> None:
    """Write fingerprints of the code of cells, and remove what earlier grids left.

    Args:
        folders: which of `CODE` to write.

    Raises:
        MixframeError: DVC cannot read the pipeline, params.yaml or the preset is not valid.
    """
    with _repo(root) as repo:
        _write_code(repo, root, folders)
        _tidy(repo, root)


def _write_code(repo: Repo, root: Path, folders: Sequence[str] = CODE) -> None:
    presets: dict[str, Any] = {}
    written = set()
    for stage in repo.index.stages:
        for path in filter(is_code, _files(stage)):
            if path in written or path.split("/")[2] not in folders:
                continue
            written.add(path)
            values = []
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency) and dep.def_path != "params.yaml":
                    name = Path(dep.def_path).stem
                    if name not in presets:
                        presets[name] = params.read_preset(name, root)
                    values += [params.value_of(presets[name], key) for key in dep.params]
            hashes = code.fingerprint(code.stage_of(_command(stage)), values)
            text = json_text(hashes)
            if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text:
                write_text(root / path, text)
    for folder in {Path(*Path(path).parts[:3]) for path in written}:
        for file in (root / folder).rglob("*"):
            if file.is_file() and str(file.relative_to(root)) not in written:
                file.unlink()


def _tidy(repo: Repo, root: Path) -> None:
    """Remove outputs of cells that are no longer in the grid, which folders would else contain.

    DVC's cache keeps them: `dvc checkout` of a commit that has the cell brings them back.
    """
    made = {out.def_path for stage in repo.index.stages for out in stage.outs}
    for stage in _stages(repo, root):
        for pattern in stage.outputs:
            anything = re.sub(r"\{\w+\}", "*", pattern)
            for path in sorted(root.glob(anything)) if "*" in anything else ():
                name = path.relative_to(root).as_posix()
                if name not in made:
                    log(f"  {name}: removed, no cell of the grid makes it")
                    path.unlink()


def follow_dvc(root: Path = Path()) -> None:
    """Make the times of files say to Snakemake what DVC says of the cells.

    Fingerprints of code are brought up to date, and cells that a killed run of Snakemake finished
    are committed. Then a cell that DVC finds changed gets a trigger newer than all its outputs; of
    one that is up to date the trigger is older, and so are its inputs.

    Raises:
        MixframeError: DVC cannot read the pipeline, params.yaml or the preset is not valid.
    """
    write_code(root)
    commit(root)
    with _repo(root) as repo:
        changed = repo.status()
        stages = {stage.addressing: stage for stage in plan_repro(repo.index.graph)}
        made = [out.def_path for stage in stages.values() for out in stage.outs]
        cells = [_cell(stage, made) for name, stage in stages.items()]
    for cell in cells:
        trigger = root / cell.trigger
        trigger.parent.mkdir(parents=True, exist_ok=True)
        trigger.touch()
        if cell.name in changed:
            continue
        os.utime(trigger, (0, 0))
    settle([cell for cell in cells if cell.name not in changed], root)


def settle(cells: Iterable[Cell], root: Path) -> None:
    """Make no output of a cell older than its inputs.

    Outputs of one content may be one file, where DVC links to its cache: what makes one of them
    newer makes an input of another cell newer.
    """
    start, settled = time.time(), False
    while not settled:
        settled = True
        for cell in cells:
            newest = max((_time(root / path) for path in cell.inputs), default=0.0)
            if any(_time(root / path) < newest for path in cell.outputs):
                settled = False
                for path in cell.outputs:
                    os.utime(root / path, (max(start, newest),) * 2)


def _time(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def commit(root: Path = Path()) -> list[str]:
    """Take the cells that ran outside DVC, and only those, into dvc.lock and DVC's cache.

    They are committed in the order in which `dvc repro` runs them, so that dvc.lock is the same. A
    mark left by a run with other parameters or other code is dropped, and one that is older than
    what the cell reads: what that cell wrote is out of date.

    Returns:
        names of the cells committed.
    """
    folder = root / STATE / "ran"
    marks = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    committed: list[str] = []
    if marks:
        # DVC would say once a cell that it updates its lock file.
        logging.getLogger("dvc.dvcfile").setLevel(logging.WARNING)
        with _repo(root) as repo:
            stages = {stage.addressing: stage for stage in plan_repro(repo.index.graph)}
            made = [out.def_path for stage in stages.values() for out in stage.outs]
            ran = {
                name
                for name, mark in marks.items()
                if name in stages and _holds(mark, _cell(stages[name], made), root)
            }
            # With them the fingerprints of the code that they ran.
            code_cells = {name for name in stages if name.split("@")[0] in CODE} if ran else set()
            done = [stage for name, stage in stages.items() if name in ran | code_cells]
            with lock_repo(repo):
                for stage in done:
                    stage.save()
                    # Without relinking, outputs keep their time of modification.
                    stage.commit(relink=False)
                # Values that cells share would become anchors and aliases.
                for dep in (dep for stage in done for dep in stage.deps):
                    if isinstance(dep, ParamsDependency) and dep.hash_info:
                        dep.hash_info.value = deepcopy(dep.hash_info.value)
                # Not cell by cell: each time the whole dvc.lock is parsed and written. But the last
                # one apart, which lays out the others anew: so the bytes are those of `dvc repro`.
                for cells in (done[:-1], done[-1:]):
                    if cells:
                        cells[0].dvcfile.dump_stages(cells, update_pipeline=False)
            committed = [stage.addressing for stage in done]
    for mark in marks.values():
        mark.unlink()
    return committed


def _holds(mark: Path, cell: Cell, root: Path) -> bool:
    """Tell whether a cell that left a mark would run the same way again."""
    newest = max((_time(root / path) for path in cell.inputs), default=0.0)
    return mark.read_text().strip() == cell.stamp and _time(mark) >= newest
