"""The stages of dvc.yaml as another engine needs them, and the way back into dvc.lock.

dvc.yaml stays the only definition of the pipeline: its stage templates become rules with wildcards,
and the cells that DVC makes of them say what each one reads, writes and runs.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dvc.dependency.param import ParamsDependency
from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage

from mixframe.base.errors import MixframeError
from mixframe.base.files import digest
from mixframe.base.folders import STATE
from mixframe.base.schema import read_yaml
from mixframe.experiment.templates import paths

PIPELINE = "dvc.yaml"


@dataclass(frozen=True)
class Cell:
    """One command of the pipeline, as DVC resolves it.

    Attributes:
        name: DVC's, for instance posttrain@demo-mfpt-0.
        inputs: files it reads; where dvc.yaml names a folder, what other cells write there.
        stamp: hash of the command and of the values of the parameters it reads.
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


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: a rule with a wildcard for each dimension of its matrix.

    Attributes:
        keys: the dimensions, in the order of dvc.yaml.
        outputs: paths with {dimension} where values go.
        cells: by the values of `keys`.
    """

    name: str
    keys: tuple[str, ...]
    outputs: list[str]
    cells: dict[tuple[str, ...], Cell]

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
        rest = [key for key in self.keys if key != "preset"]
        cell = "-".join(f"{{{key}}}" for key in rest) or "all"
        folder = "logs/{preset}" if "preset" in self.keys else "logs"
        return f"{folder}/{self.name}/{cell}.log"

    def cell(self, values: Mapping[str, str]) -> Cell:
        """Return the cell with these values of the dimensions."""
        return self.cells[tuple(values[key] for key in self.keys)]


def read_stages(root: Path = Path()) -> list[Stage]:
    """Read dvc.yaml through DVC's index.

    Raises:
        MixframeError: a template's output is not the one DVC makes of it.
    """
    templates = read_yaml(root / PIPELINE)["stages"]
    with Repo(str(root)) as repo:
        cells = _cells(repo.index.stages)
        resolver = load_file(repo, str(root / PIPELINE)).resolver
        items = {
            name: getattr(definition, "normalized_iterable", {"": {}})
            for name, definition in resolver.definitions.items()
        }
    stages = []
    for name, template in templates.items():
        made = {}
        for key, item in items[name].items():
            values = {dimension: str(value) for dimension, value in item.items()}
            made[tuple(values.values())] = values, cells[f"{name}@{key}" if key else name]
        if not made:
            continue
        keys = tuple(next(iter(made.values()))[0])
        outputs = [_pattern(path) for path in paths(template, "outs", "metrics", "plots")]
        if not keys:
            outputs = made[()][1].outputs
        for values, cell in made.values():
            wanted = sorted(path.format(**values) for path in outputs)
            if wanted != sorted(cell.outputs):
                raise MixframeError(
                    f"{PIPELINE}: stage {name}: an output uses something else than ${{item...}}; "
                    f"read as {wanted[0]}, where DVC has {sorted(cell.outputs)[0]}"
                )
        stages.append(Stage(name, keys, outputs, {k: cell for k, (_, cell) in made.items()}))
    return stages


def _pattern(path: str) -> str:
    return re.sub(r"\$\{item\.(\w+)\}", r"{\1}", path)


def _cells(stages: Iterable[PipelineStage]) -> dict[str, Cell]:
    stages = list(stages)
    made = [out.def_path for stage in stages for out in stage.outs]
    return {
        stage.addressing: Cell(
            stage.addressing,
            _command(stage),
            [path for dep in _files(stage) for path in _beneath(dep, made)],
            [out.def_path for out in stage.outs],
            _stamp(stage),
        )
        for stage in stages
    }


def _command(stage: PipelineStage) -> str:
    return stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd)


def _files(stage: PipelineStage) -> Iterable[str]:
    for dep in stage.deps:
        if not isinstance(dep, ParamsDependency):
            yield dep.def_path


def make_folders(root: Path = Path()) -> None:
    """Make the folders that stages read from other stages, where there are none yet.

    `dvc repro --dry` stops at a dependency that it cannot hash (DVC's issues 9021 and 9818), and a
    folder without files can be.

    Raises:
        MixframeError: DVC cannot read the pipeline.
    """
    try:
        with Repo(str(root)) as repo:
            stages = list(repo.index.stages)
    except DvcException as error:
        raise MixframeError(f"{root / PIPELINE}: {error}") from error
    made = [out.def_path for stage in stages for out in stage.outs]
    for path in {path for stage in stages for path in _files(stage)}:
        if _beneath(path, made) != [path]:
            (root / path).mkdir(parents=True, exist_ok=True)


def _beneath(path: str, made: Iterable[str]) -> list[str]:
    """Return the outputs beneath a folder, or the path itself."""
    return [out for out in made if out.startswith(f"{path.rstrip('/')}/")] or [path]


def _stamp(stage: PipelineStage) -> str:
    values = {
        dep.def_path: dep.read_params() for dep in stage.deps if isinstance(dep, ParamsDependency)
    }
    return digest({"command": _command(stage), "values": values})


def commit(root: Path = Path()) -> list[str]:
    """Take the cells that ran outside DVC, and only those, into dvc.lock and DVC's cache.

    They are committed in the order in which `dvc repro` runs them, so that dvc.lock is the same. A
    mark left by a run with other parameters is dropped: what that cell wrote is out of date.

    Returns:
        names of the cells committed.
    """
    folder = root / STATE / "ran"
    marks = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    committed = []
    if marks:
        # DVC would say once a cell that it updates its lock file.
        logging.getLogger("dvc.dvcfile").setLevel(logging.WARNING)
        with Repo(str(root)) as repo:
            for stage in plan_repro(repo.index.graph):
                mark = marks.get(stage.addressing)
                if mark is not None and mark.read_text().strip() == _stamp(stage):
                    # Without relinking, outputs keep their time of modification.
                    repo.commit(stage.addressing, force=True, relink=False)
                    committed.append(stage.addressing)
    for mark in marks.values():
        mark.unlink()
    return committed
