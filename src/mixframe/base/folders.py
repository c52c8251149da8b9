"""Folders outside the results: the state of this machine, and the downloaded corpora.

Files that travel between machines name downloaded data by paths that start with `data/`. On each
machine that is the data root: the folder that the environment variable MIXFRAME_DATA names, or
`data/` of the repository.
"""

import os
from pathlib import Path, PurePosixPath

STATE = Path(".mixframe")
"""Checkpoints, locks and timings: git-ignored, no stage's output, safe to delete."""

DATA = "data"
"""The first part of a stored path that lies below the data root."""

WORKSPACES = "/.dvc/tmp/exps/"
"""Where DVC makes temporary workspaces of experiments, below the repository."""


def data_root() -> Path:
    """Return the folder of downloaded corpora, shared by all presets, git-ignored.

    A temporary workspace of DVC shares the data of its repository. A relative MIXFRAME_DATA is
    relative to the repository.
    """
    here, workspace, _ = f"{os.getcwd()}/".partition(WORKSPACES)
    repository = Path(here) if workspace else Path()
    if named := os.environ.get("MIXFRAME_DATA"):
        # Absolute, so that it is not taken for a stored path if it starts with data/.
        return (repository / named).absolute()
    return repository / DATA


def is_below_root(path: Path) -> bool:
    """Tell whether a path lies below the data root."""
    return Path(os.path.relpath(path, data_root())).parts[:1] != ("..",)


def stored(path: Path) -> str:
    """Return how files that travel name a path: `data/...` below the data root, else as it is."""
    if not is_below_root(path):
        return path.as_posix()
    return PurePosixPath(DATA, os.path.relpath(path, data_root())).as_posix()


def located(name: str) -> Path:
    """Return where a stored path is on this machine; paths without `data/` are as they are."""
    first, _, below = name.partition("/")
    return data_root() / below if first == DATA else Path(name)
