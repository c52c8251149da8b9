"""YAML is read within limits; what is not is refused by its line."""

import re
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.base.yamlfiles import DEEPEST, LARGEST, MOST_NODES, parse_yaml, read_yaml
from mixframe.cli import main
from mixframe.experiment import params

ROOT = Path(__file__).parents[1]

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)
)
MERGES = re.sub(r"\[(\*.*)\]", r"{<<: [\1]}", BOMB.replace("[1, 1, 1, 1, 1, 1, 1, 1, 1]", "{k: 1}"))

REFUSED = {
    "a: 1\nb: 2\na: 3\n": r"line 3: the key 'a' is in line 1 already",
    "a: {x: 1,\n  x: 1}\n": r"line 2: the key 'x' is in line 1 already",
    "1: a\n1.0: b\n": r"line 2: the key '1.0' is in line 1 already",
    "<<: {a: 1}\n<<: {b: 1}\n": r"line 2: the key '<<' is in line 1 already",
    BOMB: r"line 5: more than 50,000 values, where aliases count in full",
    MERGES: r"line 6: more than 50,000 values, where aliases count in full",
    "a: 1\nb: &b [*b]\n": r"line 2: \*b stands inside of what it stands for",
    "a: *b\n": r"line 1: not YAML: found undefined alias",
    "[" * LARGEST: r"line 1: more than 50 tables and lists inside each other",
    "- " * (LARGEST // 2): r"line 1: more than 50 tables and lists inside each other",
    "".join(" " * i + "a:\n" for i in range(1000)): r"line 50: more than 50 tables and lists",
    "a: [" + "1," * (LARGEST // 4) + "]": r"line 1: more than 50,000 values",
    "#" * (LARGEST + 1): r"more than 1,048,576 bytes",
    "a: 1\nb: \0\n": r"line 2: not text: character U\+0000",
    "a: \x1b[31m\n": r"line 1: not text: character U\+001B",
    "a: 1\nb: !!python/name:os.system\n": r"line 2: the tag tag:yaml.org,2002:python/name:os",
    "a: !!set {b}\n": r"line 1: the tag tag:yaml.org,2002:set; expected plain values",
    "a: 1\nb: 2026-02-30\n": r"line 2: '2026-02-30': day is out of range",
    "a: 0x_\n": r"line 1: '0x_': invalid literal",
    "a: " + "9" * 5000: r"line 1: '9{79}: Exceeds the limit",
    "[1]: 2\n": r"line 1: a table or a list in the place of a key",
    "a: 1\n---\nb: 1\n": r"line 2: not YAML: but found another document",
    "a: [1\n": r"line 2: not YAML: ",
    "": r"holds nothing, expected a table",
    "# nothing\n": r"holds nothing, expected a table",
    "- a\n- b\n": r"holds a list, expected a table",
    "just words\n": r"holds a single value, expected a table",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_what_is_no_table_within_the_limits_is_refused_with_file_and_line(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(MixframeError, match=rf"x\.yaml(, |: ){REFUSED[text]}"):
        read_yaml(path)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: 1\n".encode("utf-16"), "line 1: not UTF-8: byte 0xff"),
        ("a: 1\n".encode("utf-16-le"), r"line 1: not text: character U\+0000"),
        ("a: 1\nb: é\n".encode("latin-1"), "line 2: not UTF-8: byte 0xe9"),
    ],
)
def test_other_encodings_are_named(tmp_path, content, expected):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(MixframeError, match=rf"x\.yaml, {expected}"):
        read_yaml(path)


def test_what_is_within_the_limits_is_read():
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert parse_yaml(f"a: {deep}", "x")["a"] == yaml.safe_load(deep)
    many = ["x"] * (MOST_NODES - 1)
    assert parse_yaml(f"[{','.join(many)}]", "x") == many
    aliases = "a: &a {k: 1, l: [2]}\nb: *a\nc: {<<: *a, k: 3}\n"
    assert parse_yaml(aliases, "x") == yaml.safe_load(aliases)
    assert parse_yaml("\ufeffa: 2e-06", "x") == {"a": 2e-06}


def test_every_file_of_the_project_is_read_as_pyyaml_reads_it():
    files = [*ROOT.glob("*.yaml"), *ROOT.glob("presets/**/*.yaml")]
    assert len(files) > 10
    for path in files:
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8")), path


# PyYAML leaves a text like 0E0 without quotes, which others read as a number.
text = st.text().filter(lambda t: not re.fullmatch(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+", t))
plain = st.none() | st.booleans() | st.integers() | text | st.floats(allow_nan=False)


@settings(deadline=None)
@given(st.dictionaries(text, st.recursive(plain, lambda x: st.lists(x, max_size=3))))
def test_what_pyyaml_writes_is_read_back(values):
    assert parse_yaml(yaml.safe_dump(values, allow_unicode=False), "x") == values


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=1), st.data())
def test_a_key_that_is_there_twice_is_refused_wherever_it_stands(values, data):
    twice = data.draw(st.sampled_from(sorted(values)))
    items = [yaml.safe_dump({key: value}) for key, value in values.items()]
    items.insert(data.draw(st.integers(0, len(items))), yaml.safe_dump({twice: 0}))
    with pytest.raises(MixframeError, match=r"the key .* is in line \d+ already"):
        parse_yaml("".join(items), "x")


def test_a_preset_or_params_yaml_that_says_a_thing_twice_is_refused(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    smoke = (ROOT / "presets" / "smoke.yaml").read_text()
    line = smoke[: smoke.index("\nseed: 1\n")].count("\n") + 2
    (tmp_path / "presets" / "smoke.yaml").write_text(smoke + "seed: 2\n")
    last = smoke.count("\n") + 1
    expected = rf"smoke\.yaml, line {last}: the key 'seed' is in line {line} already"
    with pytest.raises(MixframeError, match=expected):
        params.read_preset("smoke", tmp_path)
    (tmp_path / "presets" / "smoke.yaml").write_text(smoke)
    choice = (ROOT / "params.yaml").read_text().replace("demo", "smoke")
    monkeypatch.chdir(tmp_path)
    for text, message in [
        (choice + "preset: demo\n", r"params\.yaml, line \d+: the key 'preset' is in line 1"),
        (
            "preset: smoke\nbase: smoke\n",
            r"params\.yaml:\n(  .*\n)*  grid: missing; every key must",
        ),
        ("", r"params\.yaml: holds nothing"),
        ("- preset: smoke\n", r"params\.yaml: holds a list"),
        (None, "there is no params.yaml"),
    ]:
        Path("params.yaml").unlink(missing_ok=True)
        if text is not None:
            Path("params.yaml").write_text(text)
        for command in ("params", "dag", "use", "show", "timings", "evaluate --system mfpt"):
            result = CliRunner().invoke(main, command.split())
            assert result.exit_code == 1, command
            assert isinstance(result.exception, SystemExit), command
            assert re.search(message, result.stderr), (command, result.stderr)
