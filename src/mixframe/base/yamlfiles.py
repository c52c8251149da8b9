"""YAML as plain data, within limits: what a file holds is read in a moment or refused by its line.

YAML 1.1 as PyYAML's safe loader takes it, but for tags (`!!x`), which are refused, for a key that
is in a table twice, where PyYAML takes the last one, and for 2e-06, as DVC writes it: a number.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from mixframe.base.errors import MixframeError

LARGEST = 2**20
"""Bytes of a file."""
DEEPEST = 50
"""Tables and lists inside each other."""
MOST_NODES = 50_000
"""Keys, values, tables and lists, each alias counted as what it stands for."""

NO_TEXT = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What is no character of YAML 1.1 (section 5.1), and a byte order mark behind the first byte."""

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, ten times as fast, where PyYAML has it."""


class _Loader(Composer, _Parser):
    """Composes within the limits; by PyYAML's Python code, since that in C knows no limits."""

    def __init__(self, text: str, where: object) -> None:
        _Parser.__init__(self, text)
        self.where = where
        self.anchors: dict[str, yaml.Node] = {}
        self.depth = 0
        self.n_nodes = 0
        self.sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose what comes next: a value, or an alias of one."""
        event, before = self.peek_event(), self.n_nodes
        if isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors:
            target = self.anchors[event.anchor]
            if target not in self.sizes:
                self.refuse(f"*{event.anchor} stands inside of what it stands for", event)
            self.n_nodes += self.sizes[target]
        elif getattr(event, "tag", None) is not None:
            self.refuse(f"the tag {event.tag:.80}; expected plain values", event)
        self.n_nodes += 1
        if self.n_nodes > MOST_NODES:
            self.refuse(f"more than {MOST_NODES:,} values, where aliases count in full", event)
        self.depth += 1
        if self.depth > DEEPEST:
            self.refuse(f"more than {DEEPEST} tables and lists inside each other", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None:
            self.sizes.setdefault(node, self.n_nodes - before)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a table; each of its keys is there once."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse("a table or a list in the place of a key", key)
            merge = key.tag == "tag:yaml.org,2002:merge"
            value = key.value if merge else self.construct_object(key)
            if value in lines:
                self.refuse(f"the key {key.value!r:.80} is in line {lines[value]} already", key)
            lines[value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return what a node stands for, as PyYAML does but for 2026-02-30: there Python raises."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            return self.refuse(f"{node.value!r:.80}: {error}", node)

    def refuse(self, problem: str, at: Any) -> Any:
        """Raise with the line of an event or a node."""
        raise MixframeError(f"{self.where}, line {at.start_mark.line + 1}: {problem}")


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file that holds a table.

    Raises:
        MixframeError: the file is missing or too large, or `parse_yaml` refuses it.
    """
    path = Path(path)
    if not path.is_file():
        raise MixframeError(f"{path}: no such file")
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise MixframeError(f"{path}: {error.strerror}") from error
    if len(content) > LARGEST:
        raise MixframeError(f"{path}: more than {LARGEST:,} bytes; expected YAML written by hand")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MixframeError(
            f"{path}, line {line}: not UTF-8: byte 0x{content[error.start]:02x}"
        ) from error
    values = parse_yaml(text, path)
    if not isinstance(values, dict):
        kind = {type(None): "nothing", list: "a list"}.get(type(values), "a single value")
        raise MixframeError(f"{path}: holds {kind}, expected a table, lines of `key: value`")
    return values


def parse_yaml(text: str, where: object) -> Any:
    """Return the value of a YAML text, from `where`.

    Raises:
        MixframeError: not YAML, a key that is there twice, a tag, a character that is no text, or
            more than the limits; the message has `where` and the line.
    """
    text = text.removeprefix("\ufeff")
    if bad := NO_TEXT.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise MixframeError(f"{where}, line {line}: not text: character U+{ord(bad[0]):04X}")
    try:
        return _Loader(text, where).get_single_data()
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise MixframeError(f"{where}, line {at}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise MixframeError(f"{where}: not YAML: {error}") from error
