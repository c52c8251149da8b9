"""Ready entries of corpora, `presets/corpora/<name>.yaml`, and presets that take them up.

An entry has the sections of one corpus, `download` and `protocol`, each below its name. It is
copied into a preset and not included by it: a preset is one file that says everything, whatever
becomes of the entry.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from mixframe.base.errors import MixframeError
from mixframe.base.yamlfiles import read_yaml

ENTRIES = Path("presets") / "corpora"


def names(root: Path = Path()) -> list[str]:
    """Return the names of the entries of a project."""
    return sorted(path.stem for path in (root / ENTRIES).glob("*.yaml"))


def entry_path(name: str, root: Path = Path()) -> Path:
    """Return the file of an entry.

    Raises:
        MixframeError: there is none; the message lists those there are.
    """
    path = root / ENTRIES / f"{name}.yaml"
    if not path.is_file():
        raise MixframeError(f"corpus = {name!r}: expected one of {', '.join(names(root))}")
    return path


def with_corpora(
    base: Path, name: str, corpora: Sequence[str], alone: bool, root: Path = Path()
) -> str:
    """Return the text of a preset that is a copy of another one with further corpora.

    Args:
        base: the preset to copy, which has corpora of its own.
        name: of the new preset, the base of itself.
        corpora: names of entries.
        alone: leave the corpora of `base` out, its evaluation sets, and what is done to them under
            distortions.

    Raises:
        MixframeError: `base` has no corpora of its own, or has one of these already; there is no
            such entry.
    """
    values = read_yaml(base)
    if values.get("base") != base.stem:
        raise MixframeError(f"{base}: its corpora stand in {values.get('base')}: copy that one")
    lines = base.read_text(encoding="utf-8").splitlines()
    sets = [] if alone else list(values["grid"]["set"])
    if alone:
        _clear(lines, "download:")
        _clear(lines, "  corpora:")
        _remove(lines, "robustness:")
    for corpus in reversed(corpora):
        path = entry_path(corpus, root)
        if corpus in values["download"] and not alone:
            raise MixframeError(f"{base}: has the corpus {corpus} already")
        download, protocol = _sections(path)
        _insert(lines, "download:", download)
        _insert(lines, "  corpora:", [f"  {line}" for line in protocol])
    for corpus in corpora:
        of_corpus = read_yaml(entry_path(corpus, root))["protocol"][corpus]["sets"].values()
        sets += [s for s in of_corpus if s.startswith("eval") and s not in sets]
    _clear(lines, "  set:")
    _insert(lines, "  set:", [f"  - {name}" for name in sets])
    text = "\n".join(lines) + "\n"
    text = re.sub(r"(?m)^title: .*", f"title: {values['title']} ({name})", text)
    text = re.sub(r"(?m)^base: .*", f"base: {name}", text)
    return text.replace(f"`mixframe use {base.stem}`", f"`mixframe use {name}`")


def _sections(path: Path) -> tuple[list[str], list[str]]:
    """Return the lines below `download:` and `protocol:` of an entry."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = lines.index("protocol:")
    return lines[lines.index("download:") + 1 : at], lines[at + 1 :]


def _insert(lines: list[str], key: str, more: Sequence[str]) -> None:
    at = lines.index(key) + 1
    lines[at:at] = more


def _remove(lines: list[str], key: str) -> None:
    """Remove a section that may be there, with the comment above it."""
    if key in lines:
        _clear(lines, key)
        start = end = lines.index(key)
        while lines[start - 1].startswith("#"):
            start -= 1
        del lines[start : end + 1]


def _clear(lines: list[str], key: str) -> None:
    """Remove the lines below a key, and leave the blank lines and comments before the next one."""
    start, depth = lines.index(key) + 1, len(key) - len(key.lstrip())

    def inside(line: str) -> bool:
        indent = len(line) - len(line.lstrip())
        return not line.strip() or indent > depth or line.startswith(f"{' ' * depth}- ")

    end = start
    while end < len(lines) and inside(lines[end]):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    del lines[start:end]
