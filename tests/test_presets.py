"""Presets are plain YAML: `dvc exp run -S` changes the leaf it names, its line and nothing else."""

from functools import reduce
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml, loads_yaml

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "presets").glob("*.yaml"))
# Every third leaf is overridden together: one by one, the leaves of all presets take minutes.
ROUNDS = 3


def read(name):
    return (ROOT / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


def leaves(node, path=()):
    """Path and line of every scalar and every list below a node of composed YAML."""
    for key, value in node.value:
        inner = (*path, key.value)
        if isinstance(value, yaml.MappingNode):
            yield from leaves(value, inner)
        else:
            yield inner, key.start_mark.line


def end_of(lines, first):
    """The line after the last one of the value whose key is on line `first`."""
    indent = len(lines[first]) - len(lines[first].lstrip())
    end = first + 1
    while end < len(lines) and lines[end].startswith((" " * (indent + 1), " " * indent + "- ")):
        end += 1
    return end


def changed(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "other"
    if isinstance(value, list):
        return ["other", *value[1:]]
    return value + 1


def written(value):
    """A value in Hydra's grammar, which has no quotes around keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return repr(value) if isinstance(value, str) else str(value)


@pytest.mark.parametrize("name", NAMES)
def test_no_anchor_alias_or_merge(name):
    for event in yaml.parse(read(name)):
        assert getattr(event, "anchor", None) is None, event.start_mark
        assert getattr(event, "value", None) != "<<", event.start_mark


@pytest.mark.parametrize("name", NAMES)
def test_dvc_writes_what_it_read(name):
    assert dumps_yaml(loads_yaml(read(name), typ="rt")) == read(name)


@pytest.mark.parametrize("start", range(ROUNDS))
@pytest.mark.parametrize("name", NAMES)
def test_an_override_changes_its_leaf_and_the_lines_of_its_leaf(tmp_path, name, start):
    text = read(name)
    old = text.splitlines()
    expected = yaml.safe_load(text)
    # Hydra cannot address a key with a dot: the files of `archives`.
    named = [leaf for leaf in leaves(yaml.compose(text)) if "." not in "".join(leaf[0])]
    chosen = named[start::ROUNDS]
    overrides = []
    for (*parents, key), _ in chosen:
        mapping = reduce(dict.__getitem__, parents, expected)
        mapping[key] = changed(mapping[key])
        overrides.append(f"{'.'.join([*parents, key])}={written(mapping[key])}")

    path = tmp_path / "preset.yaml"
    path.write_text(text, encoding="utf-8")
    apply_overrides(path, overrides)

    assert yaml.safe_load(path.read_text(encoding="utf-8")) == expected
    new = path.read_text(encoding="utf-8").splitlines()
    before, after = 0, 0
    for line in sorted({line for _, line in chosen}):
        kept = line - before
        assert new[after : after + kept] == old[before:line]
        before, after = end_of(old, line), end_of(new, after + kept)
    assert new[after:] == old[before:]
