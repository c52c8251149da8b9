"""Records what a process of the pipeline runs and reads; Python imports this from the path.

Lines `module NAME`, `param KEY` and `file PATH` are appended to a file in the folder
MIXFRAME_RECORD, named after the command. Functions count as run when they are called; what runs
when a module is imported, or validates a whole preset, does not count, nor do the parameters that
validation reads.
"""

import os
import sys
import threading
from pathlib import Path

FOLDER = os.environ.get("MIXFRAME_RECORD")
CO_OPTIMIZED = 1
"""Flag of the code of functions, which that of modules and classes lacks."""

VALIDATE = {"validate", "check_grid", "check_cell"}
HASH = {"state_key"}


class Recorder:
    """What was seen, each thing once."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.seen: set[str] = set()
        # By id: hashing a code object takes longer than most calls.
        self.codes: dict[int, object] = {}
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

    def trace(self, frame, event, value):
        """Note the module of each function that is called."""
        code = frame.f_code
        if id(code) in self.codes:
            return None
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith("mixframe."):
            self.codes[id(code)] = code
            return None
        if code.co_name in VALIDATE | HASH:
            if code.co_name in HASH:
                self.write(f"module {module}")
            self.local.hidden = getattr(self.local, "hidden", 0) + 1
            frame.f_trace_lines = False
            return self.leave
        if code.co_flags & CO_OPTIMIZED and not self.preparing(frame):
            self.codes[id(code)] = code
            self.write(f"module {module}")
        return None

    def leave(self, frame, event, value):
        """Follow the end of a function that validates or hashes."""
        if event == "return":
            self.local.hidden -= 1
            if frame.f_code.co_name == "validate":
                self.follow(value)
        return self.leave

    def preparing(self, frame) -> bool:
        """Tell whether a function was called, however far up, by an import or a validation."""
        while frame is not None:
            name, module = frame.f_code.co_name, frame.f_globals.get("__name__") or ""
            if name in VALIDATE or (name == "<module>" and module.startswith("mixframe.")):
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


# What hashes the code runs in no cell, and traced it takes a minute.
if FOLDER and sys.argv[1:2] != ["code"]:
    recorder = Recorder(FOLDER)
    sys.addaudithook(recorder.audit)
    threading.settrace(recorder.trace)
    sys.settrace(recorder.trace)
