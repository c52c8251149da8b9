"""What a cell runs is found by imports; only what can change a result changes its fingerprint."""

import ast
import keyword
import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixframe
from mixframe.experiment import code, params

SOURCE = '''
"""Docstring."""
from mixframe.base.files import digest

LIMIT = 3

def total(values, *, start=0):
    """Docstring."""
    result = start  # a comment
    for value in values:
        squares = [value * other for other in range(value)]
        result += sum(squares)
    return result
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that can be edited; returns a function that edits and hashes."""
    copy = tmp_path / "mixframe"
    shutil.copytree(
        Path(mixframe.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(code, "PACKAGE", copy)

    def clear():
        code.imports.cache_clear()
        code.module_hash.cache_clear()

    clear()
    yield copy, clear
    monkeypatch.undo()
    clear()


def test_comments_docstrings_and_line_breaks_change_nothing():
    other = SOURCE.replace('"""Docstring."""', '"""Another one."""').replace("# a comment", "")
    other = other.replace("values, *, start=0", "\n    values,\n    *,\n    start=0,\n")
    assert code.substance(ast.parse(other)) == code.substance(ast.parse(SOURCE))


names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(
    lambda name: (
        not keyword.iskeyword(name)
        and name not in ("values", "start", "total", "digest", "sum", "range", "_")
    )
)


@given(st.lists(names, min_size=4, max_size=4, unique=True))
def test_renamed_local_variables_change_nothing(new):
    other = SOURCE
    for old, name in zip(("result", "value", "squares", "other"), new, strict=True):
        other = re.sub(rf"\b{old}\b", f"@{name}", other)
    other = other.replace("@", "")
    assert code.substance(ast.parse(other)) == code.substance(ast.parse(SOURCE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT", "MOST"),
        ("start=0", "start=1"),
        ("(values,", "(items,"),
        ("in values", "in start"),
        ("value * other", "other * value"),
        ("value * other", "value * value"),
        ("result += sum", "result -= sum"),
        ("return result", "return value"),
        ("import digest", "import sha256_file"),
        ("range(value)", "range(LIMIT)"),
    ],
)
def test_everything_else_changes_it(old, new):
    other = SOURCE.replace(old, new)
    assert other != SOURCE
    assert code.substance(ast.parse(other)) != code.substance(ast.parse(SOURCE))


def test_a_name_of_the_scope_around_is_no_local_variable():
    outer = "def f(z):\n    return [{0} for {0} in {1}]\n"
    same = code.substance(ast.parse(outer.format("y", "z")))
    assert code.substance(ast.parse(outer.format("q", "z"))) == same
    # Here the iterable is a global variable, whose name counts.
    assert code.substance(ast.parse(outer.format("y", "y"))) != code.substance(
        ast.parse(outer.format("q", "q"))
    )


def cells(values, stage="finetune"):
    preset = params.read_preset("smoke")
    return code.fingerprint(stage, [params.value_of(preset, key) for key in values])


def test_a_cell_has_its_own_plugins_and_no_others():
    heads = {name: cells([f"finetune.{name}"]) for name in ("lfcc", "lora", "mfpt_fgfm")}
    assert "mixframe.training.systems.lfcc" in heads["lfcc"]
    assert "mixframe.models.backbone" not in heads["lfcc"]
    assert "mixframe.models.backbone" in heads["lora"]
    assert "mixframe.models.fgfm" in heads["mfpt_fgfm"]
    assert "mixframe.models.fgfm" not in heads["lora"]
    for modules in heads.values():
        assert {name for name in modules if ".stages." in name} == {
            "mixframe.stages.card",
            "mixframe.stages.context",
            "mixframe.stages.finetune",
            "mixframe.stages.systems",
        }
        assert not [
            name for name in modules if name.startswith(("mixframe.corpora", "mixframe.report"))
        ]
    attacks = cells(["protocol"], "protocol")
    assert "mixframe.corpora.demo.attacks.world" in attacks
    assert "mixframe.corpora.asvspoof5" not in attacks
    assert not [name for name in attacks if name.startswith("mixframe.training")]


def test_an_edit_reaches_the_cells_that_run_it_and_no_others(package):
    copy, clear = package
    keys = {"lfcc": ["finetune.lfcc"], "lora": ["finetune.lora"], "mfpt": ["splice.mfpt"]}
    stages = {"mfpt": "splice"}

    def all_of_them():
        clear()
        return {name: cells(values, stages.get(name, "finetune")) for name, values in keys.items()}

    before = all_of_them()
    for path, reached in {
        "models/detector.py": {"lora"},
        "training/systems/lfcc.py": {"lfcc"},
        "audio/splicing/patterns/regions.py": {"mfpt"},
        "audio/splicing/patterns/short.py": set(),
        "audio/frames.py": {"lfcc", "lora", "mfpt"},
        "metrics/scorefiles.py": {"lfcc", "lora"},
        "stages/report.py": set(),
    }.items():
        text = (copy / path).read_text()
        (copy / path).write_text(f"{text}\nEDITED = 1\n")
        after = all_of_them()
        assert {name for name in keys if after[name] != before[name]} == reached, path
        (copy / path).write_text(f"{text}\n# A comment.\n")
        assert all_of_them() == before
        (copy / path).write_text(text)


def test_a_registered_plugin_changes_no_cell_that_does_not_use_it(package):
    copy, clear = package
    before = cells(["splice.mfpt"], "splice")
    patterns = copy / "audio/splicing/patterns"
    init = patterns / "__init__.py"
    text = init.read_text()
    (patterns / "other.py").write_text("def draw(rng, limits):\n    return []\n")
    line = next(line for line in text.splitlines() if '"regions"' in line)
    init.write_text(text.replace(line, f"{line}\n{line.replace('regions', 'other')}"))
    clear()
    assert cells(["splice.mfpt"], "splice") == before


def test_files_beside_the_modules_of_a_package_count(package):
    copy, clear = package
    before = cells([], "report")
    style = next(copy.glob("report/**/*.css"))
    style.write_text(style.read_text() + "\n/* wider */\n")
    clear()
    after = cells([], "report")
    assert {name for name in after if after[name] != before.get(name)} == {
        f"mixframe.{style.parent.relative_to(copy).as_posix().replace('/', '.')}/{style.name}"
    }


def test_the_package_itself_holds_its_version_and_names_for_others():
    tree = ast.parse(Path(mixframe.__file__).read_text())
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    assert set(assigned) == {"__version__", "__all__", "_HOMES"}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == {"__getattr__", "__dir__"}
    rest = [node for node in tree.body if not isinstance(node, ast.Assign | ast.FunctionDef)]
    kinds = [type(node).__name__ for node in rest]
    assert kinds == ["Expr", "ImportFrom", "ImportFrom", "If"], f"Python {sys.version}"
    assert [node.module for node in rest[1:3]] == ["importlib", "typing"]
    assert rest[3].test.id == "TYPE_CHECKING"


def test_no_module_imports_by_way_of_the_package_itself():
    package = Path(mixframe.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "mixframe":
                names = {alias.name for alias in node.names}
                assert not names & set(mixframe.__all__), path
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "mixframe":
                assert node.attr not in mixframe.__all__, path
