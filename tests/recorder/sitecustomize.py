"""Records what a process of the pipeline runs and reads; Python imports this from the path.

Lines `module NAME`, `param KEY` and `file PATH` are appended to a file in the folder
MIXFRAME_RECORD, named after the command. Functions count as run when they are called; what runs
when a module is imported, or validates a whole preset, does not count, nor do the parameters that
validation reads.
"""

import ast
import builtins
import os
import sys
import threading
from functools import wraps
from importlib.machinery import SourceFileLoader
from pathlib import Path

FOLDER = os.environ.get("MIXFRAME_RECORD")
VALIDATE = {
    ("mixframe.base.schema", "validate"),
    ("mixframe.experiment.params", "check_grid"),
    ("mixframe.experiment.params", "check_cell"),
}
HASH = {("mixframe.stages.context", "state_key")}
"""Functions, with their modules, that may read what no cell depends on."""


class Recorder:
    """What was seen, each thing once."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.seen: set[str] = set()
        self.local = threading.local()
        self.keys: dict[int, str] = {}
        self.kept: list[object] = []
        self.patched = False

    def write(self, line: str) -> None:
        """Append a line; the file is that of the command, which child processes inherit."""
        if line in self.seen:
            return
        self.seen.add(line)
        name = os.environ.get("MIXFRAME_RECORD_CELL")
        if name is None:
            if not sys.argv[0].endswith("mixframe"):
                return
            name = os.environ["MIXFRAME_RECORD_CELL"] = " ".join(sys.argv[1:]).replace("/", "_")
        with (self.folder / name).open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")

    def ran(self, module: str) -> None:
        """Note the module of a function that was called; the functions themselves say so."""
        line = f"module {module}"
        if line not in self.seen and not self.preparing(sys._getframe(1)):
            self.write(line)

    def hidden(self, function):
        """Let what a function that validates or hashes reads not count."""

        @wraps(function)
        def called(*args, **options):
            self.local.hidden = getattr(self.local, "hidden", 0) + 1
            try:
                value = function(*args, **options)
            finally:
                self.local.hidden -= 1
            if function.__name__ == "validate":
                self.follow(value)
            return value

        return called

    def preparing(self, frame) -> bool:
        """Tell whether a function was called, however far up, by an import or a validation."""
        while frame is not None:
            name, module = frame.f_code.co_name, frame.f_globals.get("__name__") or ""
            imported = name == "<module>" and module.startswith("mixframe.")
            if imported or (module, name) in VALIDATE:
                return True
            frame = frame.f_back
        return False

    def follow(self, value) -> None:
        """Note from here on which keys of a preset, or of params.yaml, are read."""
        from mixframe.base.schema import Section

        if type(value).__name__ == "Preset":
            self.name(value, "")
        elif type(value).__name__ == "Choice":
            self.name(value, "params.yaml:")
        if not self.patched:
            self.patched = True
            original, dump = Section.__getattribute__, Section.model_dump

            def read(section, name):
                value = original(section, name)
                place = self.keys.get(id(section))
                if place is not None and not getattr(self.local, "hidden", 0):
                    fields = type(section).model_fields
                    if name in fields and self.leaf(value):
                        self.write(f"param {place}{name}")
                return value

            def dumped(section, *args, **options):
                for name in type(section).model_fields:
                    getattr(section, name)
                    for part in self.parts(getattr(section, name)):
                        part.model_dump()
                return dump(section, *args, **options)

            Section.__getattribute__ = read
            Section.model_dump = dumped

    def leaf(self, value) -> bool:
        """Tell whether a value has no sections inside."""
        return not list(self.parts(value))

    def parts(self, value):
        """Yield the sections in a value."""
        from mixframe.base.schema import Section

        if isinstance(value, Section):
            yield value
        elif isinstance(value, dict):
            for item in value.values():
                yield from self.parts(item)
        elif isinstance(value, list):
            for item in value:
                yield from self.parts(item)

    def name(self, section, place: str) -> None:
        """Remember where in the preset a section stands."""
        self.kept.append(section)
        self.keys[id(section)] = place
        for field in type(section).model_fields:
            value = object.__getattribute__(section, "__dict__")[field]
            named = value.items() if isinstance(value, dict) else [("", value)]
            for key, item in named:
                inner = f"{place}{field}." + (f"{key}." if key else "")
                for part in [item] if not isinstance(item, dict) else item.values():
                    if hasattr(type(part), "model_fields"):
                        self.name(part, inner)

    def audit(self, event, args):
        """Note the results that are opened for reading."""
        if event == "open" and isinstance(args[0], str) and "results/" in args[0]:
            mode, flags = args[1], args[2]
            if (mode or "r")[0] == "r" and not (flags & (os.O_WRONLY | os.O_RDWR)):
                path = Path(args[0])
                if path.is_file():
                    self.write(f"file {os.path.relpath(path)}")


class Told(ast.NodeTransformer):
    """Has each function of a module say that it was called.

    A trace function would see the calls of all packages, which takes longer than the pipeline.
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def call(self, place: ast.AST) -> ast.Call:
        """Return the expression that says so, which is None, at a line."""
        name = ast.Name("mixframe_ran", ast.Load())
        call = ast.Call(name, [ast.Constant(self.module)], [])
        return ast.fix_missing_locations(ast.copy_location(call, place))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Say so first, and hide what validates or hashes."""
        self.generic_visit(node)
        told = ast.copy_location(ast.Expr(self.call(node.body[0])), node.body[0])
        node.body.insert(ast.get_docstring(node) is not None, told)
        if (self.module, node.name) in VALIDATE | HASH:
            hidden = ast.copy_location(ast.Name("mixframe_hidden", ast.Load()), node)
            node.decorator_list.append(hidden)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        """Say so before the value."""
        self.generic_visit(node)
        node.body = ast.copy_location(ast.BoolOp(ast.Or(), [self.call(node), node.body]), node.body)
        return node


def compiled(loader: SourceFileLoader, module: str):
    """Return the code of a module, that of ours with functions that tell."""
    if module.partition(".")[0] != "mixframe":
        return original(loader, module)
    path = loader.get_filename(module)
    tree = Told(module).visit(ast.parse(loader.get_data(path), path))
    return compile(tree, path, "exec", dont_inherit=True)


# What hashes the code runs in no cell.
if FOLDER and sys.argv[1:2] != ["code"]:
    recorder = Recorder(FOLDER)
    sys.addaudithook(recorder.audit)
    builtins.mixframe_ran = recorder.ran
    builtins.mixframe_hidden = recorder.hidden
    original = SourceFileLoader.get_code
    SourceFileLoader.get_code = compiled
