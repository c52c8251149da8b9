"""What counts as code: the modules that a cell of the pipeline runs, and a fingerprint of each.

The modules are found by following imports from the stage's own one. Plug-ins (a head, a pattern, an
attack, a corpus ...) are not followed from the package that lists them: a cell uses those whose
sections stand among its parameters. A fingerprint is of the syntax tree without what cannot change
a result: comments, docstrings, line breaks, names of local variables, imports for type checkers.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mixframe
from mixframe import __version__
from mixframe.base.schema import Section

SOURCE = Path("src/mixframe").absolute()

PACKAGE = SOURCE if SOURCE.is_dir() else Path(mixframe.__file__).parent
"""The source of this folder, which stages run; where it has none, the installed package."""

VERSION = "mixframe.version"
"""What the pipeline of a project depends on where that of a checkout depends on src/mixframe."""

COMMAND = ("mixframe.cli",)
"""What every stage goes through before its own module."""

PLUGINS = (
    "mixframe.audio.augmentations",
    "mixframe.audio.distortions",
    "mixframe.corpora",
    "mixframe.corpora.demo.attacks",
    "mixframe.corpora.kinds",
    "mixframe.models.heads",
    "mixframe.audio.splicing.patterns",
    "mixframe.training.adversarial",
    "mixframe.training.systems",
)
"""Modules that list others of their package, of which a preset chooses some."""

ASSEMBLED = "mixframe.experiment.params"
"""The module that puts all sections together; a cell depends on those it declares and the base."""


def fingerprint(stage: str, values: Any) -> dict[str, str]:
    """Return a hash of every module that a stage runs with these parameters.

    Args:
        stage: name of the module in `mixframe.stages`.
        values: sections of a preset, or tables and lists of them, that the cell depends on.

    Returns:
        hashes by module, in alphabetical order; files of a package that are not Python count as
        `package/name`.
    """
    chosen = {module for section in sections_of(values) for module in section.modules()}
    modules = sorted(closure({*COMMAND, f"mixframe.stages.{stage}", *chosen}))
    hashes = {name: module_hash(name) for name in modules}
    for name in modules:
        path = _path(name)
        if path.name == "__init__.py":
            for other in sorted(path.parent.iterdir()):
                if other.is_file() and other.suffix not in (".py", ".pyc"):
                    hashes[f"{name}/{other.name}"] = _hash(other.read_bytes())
    return hashes


def sections_of(values: Any) -> Iterator[Section]:
    """Yield the sections in a value of a preset, those inside others included."""
    if isinstance(values, Section):
        yield values
        values = [getattr(values, name) for name in type(values).model_fields]
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from sections_of(value)


def closure(names: Iterable[str]) -> set[str]:
    """Return modules and all that importing and running them may import of this package."""
    reached: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting |= imports(name)
    return reached


@cache
def imports(name: str) -> frozenset[str]:
    """Return the modules of this package that a module imports, and the packages they are in."""
    reached = {name}
    for node in _run(_tree(name)):
        if isinstance(node, ast.Import):
            reached |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            reached |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    if name in PLUGINS:
        reached = {other for other in reached if not other.startswith(f"{_package(name)}.")}
    if name == ASSEMBLED:
        reached = {other for other in reached if other.startswith("mixframe.base.")}
    # The package's own __init__ holds nothing but its version.
    parents = {part.rpartition(".")[0] for part in reached} | {name.rpartition(".")[0]}
    return frozenset(n for n in reached | parents if _path(n).is_file() and n != "mixframe")


@cache
def module_hash(name: str) -> str:
    """Return a hash of what a module does."""
    tree = _tree(name)
    if name in PLUGINS:
        tree.body = [node for node in tree.body if not _registers(node, _package(name))]
    return _hash(substance(tree).encode())


def substance(tree: ast.Module) -> str:
    """Return a text that two modules share if they differ in nothing that can change a result."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, [child for child in block if not _idle(child)])
    return repr(_plain(_Locals().visit(tree)))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _path(name: str) -> Path:
    if not name.startswith("mixframe."):
        return Path()
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _package(name: str) -> str:
    return name if _path(name).name == "__init__.py" else name.rpartition(".")[0]


def _tree(name: str) -> ast.Module:
    return ast.parse(_path(name).read_bytes())


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree that are not for type checkers only."""
    if not _idle(node):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _run(child)


def _idle(node: ast.AST) -> bool:
    """Tell whether a statement does nothing when it is run: a docstring, or for type checkers."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _registers(node: ast.stmt, package: str) -> bool:
    """Tell whether a statement only lists the plug-ins of a package."""
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").startswith(package)
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    values = [node.value, *(node.value.args if isinstance(node.value, ast.Call) else [])]
    return any(isinstance(value, ast.Dict) for value in values)


def _plain(node: Any) -> Any:
    """Return a syntax tree as tuples, without what is empty: versions of Python differ in it."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return type(node).__name__, *(pair for pair in fields if pair[1] not in (None, ()))
    if isinstance(node, list):
        return tuple(_plain(item) for item in node)
    return None if node is None else repr(node)


_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


class _Locals(ast.NodeTransformer):
    """Number the local variables of functions in the order in which they are first bound.

    Parameters, and names bound by other statements than assignments, loops and `with`, are kept.
    """

    def __init__(self) -> None:
        self.scopes: list[dict[str, str]] = []
        self.visited: set[ast.AST] = set()

    def visit(self, node: ast.AST) -> Any:
        """Visit a node once; functions, comprehensions and classes open a scope."""
        if node in self.visited:
            return node
        self.visited.add(node)
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    node.id = scope[node.id]
                    break
            return node
        if not isinstance(node, (*_SCOPES, ast.ClassDef)):
            return self.generic_visit(node)
        for part in _outside(node):
            self.visit(part)
        bound = [name.id for name in _bound(node)]
        kept = set(bound) if isinstance(node, ast.ClassDef) else set()
        for child in ast.walk(node):
            if isinstance(child, ast.Global | ast.Nonlocal):
                kept |= set(child.names)
        arguments = ast.walk(getattr(node, "args", node))
        kept |= {part.arg for part in arguments if isinstance(part, ast.arg)}
        numbered = dict.fromkeys(name for name in bound if name not in kept)
        depth = len(self.scopes)
        scope = {name: f"{depth}.{i}" for i, name in enumerate(numbered)}
        self.scopes.append({**{name: name for name in kept}, **scope})
        self.generic_visit(node)
        self.scopes.pop()
        return node


def _outside(node: ast.AST) -> list[ast.AST]:
    """Return the parts of a scope that the scope around it evaluates."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return [node.generators[0].iter]
    arguments: ast.arguments = node.args  # type: ignore[attr-defined]
    own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parts = [
        *arguments.defaults,
        *arguments.kw_defaults,
        *getattr(node, "decorator_list", []),
        getattr(node, "returns", None),
        *(arg.annotation for arg in own),
    ]
    return [part for part in parts if part is not None]


def _bound(scope: ast.AST) -> Iterator[ast.Name]:
    """Yield the names that a scope binds itself, in the order of the source."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store | ast.Del):
            yield child
        if not isinstance(child, (*_SCOPES, ast.ClassDef)):
            yield from _bound(child)


def stage_of(command: str) -> str:
    """Return the stage that a command of dvc.yaml runs, or "" if it is none of ours."""
    match = re.search(r"mixframe (\w+)", command)
    return match.group(1) if match else ""


def check_version(root: Path) -> str:
    """Say in a sentence that a project's version file is not the installed package's, or ""."""
    path = root / VERSION
    if not path.is_file() or path.read_text(encoding="utf-8") == version_text():
        return ""
    return (
        f"{path} is of another mixframe than the installed {__version__}: "
        "`mixframe init --update` brings it up to date, and stages whose code changed run again"
    )


def version_text() -> str:
    """Return the text of the version file: the version and a hash over the package's files."""
    hashed = hashlib.sha256()
    files = (path for path in PACKAGE.rglob("*.*") if path.is_file() and path.suffix != ".pyc")
    for path in sorted(path for path in files if "project_files" not in path.parts):
        hashed.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode())
        hashed.update(hashlib.sha256(path.read_bytes()).digest())
    return f"version: {__version__}\nsha256: {hashed.hexdigest()}\n"
