"""Project folders: made from the package's own copy of the pipeline, and new presets in them."""

import itertools
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from mixframe.base.errors import MixframeError
from mixframe.base.files import write_text
from mixframe.base.schema import Section
from mixframe.base.yamlfiles import parse_yaml
from mixframe.experiment.code import PACKAGE, VERSION, version_text
from mixframe.experiment.params import (
    BASE_SECTIONS,
    PRESETS,
    Grid,
    Preset,
    need_own_systems,
    need_project,
    preset_path,
    read_preset,
    validate_preset,
    value_of,
)

FILES = PACKAGE / "project_files"
"""The files of a project in an installed package; `setup.py` puts them there."""


SECTIONS = ("splice", "posttrain", "finetune")
"""Sections with an entry a system; those of a variant come in this order."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads ten times as fast where PyYAML has libyaml."""

LISTS = [name for name in Grid.model_fields if name not in ("lender", "seed", "set")]
"""Keys of the grid that list systems."""


def init(folder: Path) -> list[Path]:
    """Make a project: parameters, presets, dvc.yaml, the workflow, settings of DVC and git.

    Where no git repository is around the folder, it becomes one; without git, DVC is told so.

    Returns:
        the files, relative to the folder.

    Raises:
        MixframeError: the folder has one of the files already, and nothing was written.
    """
    source, names = _project_files()
    made = sorted([*names, Path(VERSION)])
    if folder.exists() and not folder.is_dir():
        raise MixframeError(f"{folder}: not a folder")
    for name in made:
        if (folder / name).exists():
            raise MixframeError(f"{folder / name}: already there; nothing was written")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder / name)
    _replace(folder / "dvc.yaml", r"(?m)^( *- )src/mixframe$", rf"\1{VERSION}")
    write_text(folder / VERSION, version_text())
    absolute = folder.resolve()
    if not any((place / ".git").exists() for place in [absolute, *absolute.parents]):
        if shutil.which("git"):
            subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
        else:
            _replace(folder / ".dvc" / "config", r"\[core\]\n", "[core]\n    no_scm = true\n")
    return made


def update(folder: Path) -> Path:
    """Bring a project's version file up to date with the installed package, and return it.

    Raises:
        MixframeError: the folder is no project, or a checkout, which needs no such file.
    """
    need_project(folder)
    if (folder / "src" / "mixframe").is_dir():
        raise MixframeError(f"{folder.absolute()}: DVC follows the code in src/mixframe itself")
    write_text(folder / VERSION, version_text())
    return folder / VERSION


def new(
    name: str,
    base: str,
    vary: Sequence[str] = (),
    seeds: Sequence[int] = (),
    root: Path = Path(),
) -> Path:
    """Write a preset that is a copy of another one, with variants of its systems.

    The copy shares the corpus and the foundation model of the other one. A variant is named after
    its system and what is different: mfpt-injector-any. It stands behind its system wherever that
    one stands.

    Args:
        name: letters, digits, dashes and underscores.
        base: the preset to copy.
        vary: SYSTEM:SECTION.KEY=V1,V2,...; those of one system are combined in every way, and what
            the system itself has is no variant. SECTION is splice, posttrain or finetune.
        seeds: take the place of grid.seed, unless empty.

    Returns:
        the new file.

    Raises:
        MixframeError: a wrong name, system, key or value, or the preset is already there; nothing
            was written.
    """
    need_project(root)
    path = root / PRESETS / f"{name}.yaml"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise MixframeError(f"{name!r}: a preset's name has letters, digits, dashes, underscores")
    if path.exists():
        raise MixframeError(f"{path}: already there; nothing was written")
    preset = read_preset(base, root)
    need_own_systems(preset, base)
    text = _Text(preset_path(base, root))
    for key in BASE_SECTIONS:
        if text.has(key):
            text.remove(key)
    # A comment says how to choose the preset.
    text.lines = [
        line.replace(f"`mixframe use {base}`", f"`mixframe use {name}`") for line in text.lines
    ]
    text.edit("title", lambda values: values.update(title=f"{preset.title} ({name})"))
    if seeds:
        text.refill("grid.seed", seeds)
    changes = [_parse_vary(item, preset) for item in vary]
    variants = {
        change.system: _variants([c for c in changes if c.system == change.system], preset)
        for change in changes
    }
    for system, settings in variants.items():
        for section in SECTIONS:
            if section == "finetune" or system in preset.grid.posttrained:
                _add_entries(text, section, system, settings)
    for key in LISTS:
        before = getattr(preset.grid, key)
        after = [name for system in before for name in (system, *variants.get(system, []))]
        if after != before:
            text.refill(f"grid.{key}", after)
    validate_preset(parse_yaml(str(text), path), path, root)
    write_text(path, str(text))
    return path


class _Change(NamedTuple):
    """What `--vary` asks for; `key` is dotted, below the system's entry in the section."""

    system: str
    section: str
    key: str
    values: list[Any]


class _Setting(NamedTuple):
    """A value that a variant has instead of its system's."""

    section: str
    key: str
    value: Any


def _parse_vary(item: str, preset: Preset) -> _Change:
    """Read SYSTEM:SECTION.KEY=V1,V2,... and check all of it but the values."""
    match = re.fullmatch(r"([^:=]+):([^.=]+)\.([^=]+)=(.+)", item, re.DOTALL)
    if not match:
        raise MixframeError(f"{item!r}: expected SYSTEM:SECTION.KEY=VALUE,VALUE,...")
    system, section, key, text = match.groups()
    if system not in preset.grid.system:
        raise MixframeError(
            f"{item!r}: no system {system!r} in the grid; expected one of "
            f"{', '.join(preset.grid.system)}"
        )
    sections = SECTIONS if system in preset.grid.posttrained else ("finetune",)
    if section not in sections:
        raise MixframeError(
            f"{item!r}: {system} has no section {section!r} of its own; expected one of "
            f"{', '.join(sections)}"
        )
    value_of(preset, f"{section}.{system}.{key}")
    try:
        # As a list, so that a value may be a list itself: [1.0, 9.0].
        values = parse_yaml(f"[{text}]", item)
    except MixframeError as error:
        raise MixframeError(f"{item!r}: {text!r} is not a list of YAML values") from error
    if not isinstance(values, list) or not values:
        raise MixframeError(f"{item!r}: {text!r} is not a list of YAML values")
    return _Change(system, section, key, values)


def _variants(changes: list[_Change], preset: Preset) -> dict[str, list[_Setting]]:
    """Return what is different in each variant of one system, by the variant's name."""
    system = changes[0].system
    places = [f"{change.section}.{change.key}" for change in changes]
    for place in places:
        if places.count(place) > 1:
            raise MixframeError(f"{system}:{place} is varied twice")
    last = [change.key.split(".")[-1] for change in changes]
    # Two keys of one name are told apart by where they stand.
    labels = [
        key if last.count(key) == 1 else place for key, place in zip(last, places, strict=True)
    ]
    variants: dict[str, list[_Setting]] = {}
    for values in itertools.product(*(change.values for change in changes)):
        name, settings = system, []
        for change, label, value in zip(changes, labels, values, strict=True):
            own = value_of(preset, f"{change.section}.{system}.{change.key}")
            if value != (own.model_dump() if isinstance(own, Section) else own):
                name = f"{name}-{_slug(label)}-{_slug(value)}"
                settings.append(_Setting(change.section, change.key, value))
        if not settings:
            continue
        if name in variants or name in preset.finetune:
            raise MixframeError(f"{system}: there would be two systems {name}")
        variants[name] = settings
    return variants


def _slug(value: Any) -> str:
    """Return a value as a part of a name. DVC reads a dot in a key of a preset as a path."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", str(value).replace(".", "_")).strip("-") or "empty"


def _add_entries(
    text: "_Text", section: str, system: str, variants: dict[str, list[_Setting]]
) -> None:
    """Put a copy of a system's entry in a section for each variant behind it."""
    place = f"{section}.{system}"

    def change(values: CommentedMap, name: str) -> None:
        if section == "finetune" and values[system].get("encoder") == system:
            values[system]["encoder"] = name
        for setting in variants[name]:
            if setting.section == section:
                *parents, leaf = setting.key.split(".")
                table = values[system]
                for parent in parents:
                    table = table[parent]
                # PyYAML, which reads presets, takes 1e-06 for a word: its own form is 1.0e-06.
                written = yaml.safe_dump([setting.value], default_flow_style=True)
                table[leaf] = YAML().load(written)[0]
        values.insert(0, name, values.pop(system))

    for name in reversed(variants):
        text.edit(place, partial(change, name=name), keep=True)


class _Text:
    """The text of a preset, in which single entries are changed and the rest stays as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        self.lines = text.splitlines()
        for token in yaml.scan(text, Loader=LOADER):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
                raise MixframeError(
                    f"{path}, line {token.start_mark.line + 1}: an anchor or an alias; a preset "
                    "that is copied spells everything out"
                )

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def has(self, key: str) -> bool:
        """Say whether there is a top-level key."""
        return key in yaml.load(str(self), Loader=LOADER)

    def remove(self, key: str) -> None:
        """Remove a top-level key, the comment right above it and the blank lines behind it."""
        start, end = self._span(key)
        while start and self.lines[start - 1].startswith("#"):
            start -= 1
        while end < len(self.lines) and not self.lines[end].strip():
            end += 1
        del self.lines[start:end]

    def edit(self, place: str, change: Callable[[CommentedMap], None], keep: bool = False) -> None:
        """Change the entry at a dotted place, or a copy of it right behind it.

        Args:
            change: gets a table with this entry alone.
            keep: leave the entry, and put the changed one behind it.
        """
        start, end = self._span(place)
        parents = place.split(".")[:-1]
        header = [f"{'  ' * depth}{parent}:" for depth, parent in enumerate(parents)]
        # The same form as that of DVC, which writes presets too (`dvc exp run --set-param`).
        form, stream = YAML(), StringIO()
        document = form.load("\n".join([*header, *self.lines[start:end]]) + "\n")
        values = document
        for parent in parents:
            values = values[parent]
        change(values)
        form.dump(document, stream)
        self.lines[end if keep else start : end] = stream.getvalue().splitlines()[len(header) :]

    def refill(self, place: str, items: Sequence[Any]) -> None:
        """Change a list in place, so that it keeps its form."""

        def change(values: CommentedMap) -> None:
            values[place.split(".")[-1]][:] = items

        self.edit(place, change)

    def _span(self, place: str) -> tuple[int, int]:
        """Return the lines of an entry, [start, end), without the comments around it."""
        node: Any = yaml.compose(str(self), Loader=LOADER)
        for part in place.split("."):
            if node.flow_style:
                raise MixframeError(
                    f"{self.path}, line {node.start_mark.line + 1}: {place} needs lines of its own"
                )
            key, node = next(pair for pair in node.value if pair[0].value == part)
        start, mark = key.start_mark.line, node.end_mark
        # What is indented ends where the next key starts, behind the comments of that one.
        end = mark.line + (mark.column > key.start_mark.column)
        while not self.lines[end - 1].strip() or self.lines[end - 1].lstrip().startswith("#"):
            end -= 1
        return start, end


def ready(name: Path) -> Path:
    """Return a file of this project, or where it has none the one that comes with the package."""
    return name if name.is_file() else _project_files()[0] / name


def _project_files() -> tuple[Path, list[Path]]:
    """Return where the files of a project are, and their names.

    A checkout has them at its top, chosen by pyproject.toml, an installed package in a folder.
    """
    if FILES.is_dir():
        return FILES, sorted(p.relative_to(FILES) for p in FILES.rglob("*") if p.is_file())
    root = PACKAGE.parents[1]
    config = root / "pyproject.toml"
    if not config.is_file() or not (root / "dvc.yaml").is_file():
        raise MixframeError(f"{PACKAGE}: the package lacks project_files: install it again")
    patterns = tomllib.loads(config.read_text(encoding="utf-8"))["tool"]["mixframe"]["project"]
    return root, sorted(p.relative_to(root) for g in patterns for p in root.glob(g))


def _replace(path: Path, pattern: str, new: str) -> None:
    """Replace what a pattern matches in a file."""
    write_text(path, re.sub(pattern, new, path.read_text(encoding="utf-8")))
