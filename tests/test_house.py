"""The rooms of the package: their order, and that imports go down it."""

import ast
from pathlib import Path

import networkx
import pytest

import mixframe

PACKAGE = Path(mixframe.__file__).parent

ROOMS = (
    "base",
    "audio",
    "metrics",
    "models",
    "corpora",
    "training",
    "experiment",
    "report",
    "stages",
    "bundle",
)
"""From the ground up; a room imports from those before it. On top are cli and commands."""

APART = {("corpora", "models"), ("corpora", "training")}
"""Pairs of rooms that know nothing of each other although one is below the other."""


def modules():
    """Yield the name, relative to the package, and the path of each module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


KNOWN = {name for name, _ in modules()}


def imported(path):
    """Yield the modules of the package that a module imports, type checking aside."""
    waiting = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mixframe"):
            module = node.module.removeprefix("mixframe").removeprefix(".")
            for alias in node.names:
                name = f"{module}.{alias.name}".removeprefix(".")
                yield name if name in KNOWN else module
        waiting.extend(ast.iter_child_nodes(node))


def room(name):
    return name.split(".")[0]


def test_the_root_has_ten_rooms_and_the_command_line():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(ROOMS)
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert files == {"__init__", "__main__", "arena", "cli", "commands"}


def test_each_room_says_what_lives_there():
    for name in ROOMS:
        text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text()))
        assert text, name
        assert text.lower().startswith(name), name


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_from_lower_ones_only(name):
    lower = ROOMS[: ROOMS.index(name) + 1]
    for module, path in modules():
        if room(module) == name:
            for other in imported(path):
                if other:
                    assert room(other) in lower, f"{module} imports {other}"
                    assert (name, room(other)) not in APART, f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    graph = networkx.DiGraph(
        (module, other) for module, path in modules() for other in imported(path) if other
    )
    assert list(networkx.simple_cycles(graph)) == []


def test_what_is_torch_free_stays_so():
    for module, path in modules():
        if room(module) in ("metrics", "report"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {
                alias.name.split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.Import)
                for alias in node.names
            } | {
                (node.module or "").split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
            }
            assert not names & {"torch", "torchaudio", "transformers", "peft"}, module
