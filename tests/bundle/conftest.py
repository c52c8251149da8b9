"""A tiny project, and the bundles of its systems; both are made once and not changed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mixframe.bundle.writing import write_bundle
from tests.bundle.build import build_project


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project with trained systems."""
    folder = tmp_path_factory.mktemp("project")
    with working_in(folder):
        build_project()
    return folder


@pytest.fixture(scope="session")
def bundle(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a system's bundle."""
    root = tmp_path_factory.mktemp("bundles")

    def folder(system: str) -> Path:
        if not (root / system).is_dir():
            with working_in(project):
                write_bundle(system, None, None, root / system, "cc-by-4.0")
        return root / system

    return folder


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as working directory."""
    monkeypatch.chdir(project)
    return project
