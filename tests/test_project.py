"""Projects made from the package's own files, and presets with variants of systems."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment import code, project
from mixframe.experiment.params import read_preset

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
}


def files(folder):
    """Return the text of all files below a folder, without git's."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def run(folder, *command, **more):
    """Run a command in a folder and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env={**ENVIRONMENT, **more}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# init


def test_init_makes_the_files_of_the_repository(tmp_path):
    made = project.init(tmp_path / "study")
    written = files(tmp_path / "study")
    assert sorted(written) == sorted(path.as_posix() for path in made)
    tracked = set(run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines())
    assert {*written} - {"mixframe.version"} <= tracked
    top = (
        "presets/",
        "workflow/",
        ".dvc/",
        ".dvcignore",
        ".gitignore",
        "params.yaml",
        "paper.yaml",
    )
    expected = {name for name in tracked if name.startswith(top)}
    assert {*written} == {*expected, "dvc.yaml", "mixframe.version"}
    for name in expected:
        assert written[name] == (ROOT / name).read_text()


def test_the_pipeline_of_a_project_depends_on_the_version_file(tmp_path):
    project.init(tmp_path)
    own = (ROOT / "dvc.yaml").read_text().splitlines()
    theirs = (tmp_path / "dvc.yaml").read_text().splitlines()
    pairs = [pair for pair in zip(own, theirs, strict=True) if pair[0] != pair[1]]
    assert {(a.strip(), b.strip()) for a, b in pairs} == {("- src/mixframe", "- mixframe.version")}
    assert "src/mixframe" not in "".join(theirs)


def test_init_refuses_a_folder_that_has_one_of_the_files(tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "smoke.yaml").write_text("mine")
    with pytest.raises(MixframeError, match=r"presets/smoke\.yaml: already there"):
        project.init(tmp_path)
    assert files(tmp_path) == {"presets/smoke.yaml": "mine"}


def test_init_refuses_a_file(tmp_path):
    (tmp_path / "study").write_text("")
    with pytest.raises(MixframeError, match="study: not a folder"):
        project.init(tmp_path / "study")


def test_init_makes_a_git_repository_unless_there_is_one_around(tmp_path):
    project.init(tmp_path)
    assert (tmp_path / ".git").is_dir()
    project.init(tmp_path / "inner")
    assert not (tmp_path / "inner" / ".git").exists()


def test_without_git_dvc_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    project.init(tmp_path / "study")
    assert not (tmp_path / "study" / ".git").exists()
    assert "[core]\n    no_scm = true\n" in (tmp_path / "study" / ".dvc" / "config").read_text()


def test_a_project_says_when_the_package_is_another_one(tmp_path):
    project.init(tmp_path)
    before = files(tmp_path)
    assert code.check_version(tmp_path) == ""
    (tmp_path / "mixframe.version").write_text("version: 0.0.1\n")
    assert "`mixframe init --update` brings it up to date" in code.check_version(tmp_path)
    assert project.update(tmp_path) == tmp_path / "mixframe.version"
    assert files(tmp_path) == before


def test_a_checkout_has_no_version_file():
    assert code.check_version(ROOT) == ""
    with pytest.raises(MixframeError, match="DVC follows the code in src/mixframe itself"):
        project.update(ROOT)


def test_a_folder_without_params_is_no_project(tmp_path):
    for check in (
        project.need_project,
        project.update,
        lambda root: project.new("a", "b", root=root),
    ):
        with pytest.raises(
            MixframeError, match=r"is no mixframe project: .* `mixframe init` makes"
        ):
            check(tmp_path)
    project.need_project(ROOT)


def test_the_wheel_is_enough_to_start(tmp_path):
    """The wheel, not the checkout, is on the path of the project's commands."""
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        if not name.startswith(("tests/", "results/", "benchmarks/")) and (ROOT / name).is_file():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "tree" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    run(tmp_path, *pip, *options, str(tmp_path / "tree"))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    own = [p for p in (ROOT / "src" / "mixframe").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    for path in own:
        assert (tmp_path / "site" / path.relative_to(ROOT / "src")).is_file(), path
    packed = files(tmp_path / "site" / "mixframe" / "project_files")
    assert packed == {
        name: (ROOT / name).read_text()
        for name in map(str, project.init(tmp_path / "here"))
        if name != "mixframe.version"
    }
    code = (
        "from pathlib import Path; from mixframe.experiment import project; "
        "print(project.FILES.is_dir()); project.init(Path())"
    )
    (tmp_path / "there").mkdir()
    path = str(tmp_path / "site")
    assert run(tmp_path / "there", sys.executable, "-c", code, PYTHONPATH=path) == "True\n"
    assert files(tmp_path / "there") == files(tmp_path / "here")
    stages = run(tmp_path / "there", "dvc", "stage", "list", "--name-only", PYTHONPATH=path)
    assert "report@demo" in stages


# new


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project whose preset `small` is smoke's, spelled out and with comments."""
    root = tmp_path_factory.mktemp("home")
    (root / "presets").mkdir()
    (root / "params.yaml").write_text("")
    values = copy.deepcopy(read_yaml(ROOT / "presets" / "smoke.yaml"))
    values["base"] = "small"
    # In JSON's form and back, which drops what two places of the table share.
    values = yaml.safe_load(yaml.dump(values, Dumper=_Plain, sort_keys=False))
    text = yaml.dump(values, Dumper=_Plain, sort_keys=False, allow_unicode=True)
    text = text.replace("grid:\n", "# Run `mixframe use small`.\ngrid:\n")
    text = text.replace("  utterance_ft:\n", "  # The control.\n  utterance_ft:\n")
    text = text.replace("download:\n", "# What the base has.\ndownload:\n")
    text = text.replace("      lr: 0.002\n", "      lr: 2.0e-3  # the peak\n")
    (root / "presets" / "small.yaml").write_text(text)
    return root


class _Plain(yaml.SafeDumper):
    """Writes no anchors."""

    def ignore_aliases(self, data):
        return True


@pytest.fixture
def root(home, tmp_path):
    """A copy of it."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_copy_differs_by_title_base_and_seeds(root):
    text = (root / "presets" / "small.yaml").read_text()
    path = project.new("copy", "small", seeds=[3, 5], root=root)
    assert path == root / "presets" / "copy.yaml"
    own, theirs = read_preset("small", root), read_preset("copy", root)
    assert theirs.title == "smoke run (copy)"
    assert theirs.base == "small"
    assert theirs.grid == own.grid.model_copy(update={"seed": [3, 5]})
    changed = {"title", "grid"}
    assert theirs.model_dump(exclude=changed) == own.model_dump(exclude=changed)
    lines = text.splitlines()
    for line in path.read_text().splitlines():
        assert line in lines or line in (
            "title: smoke run (copy)",
            "# Run `mixframe use copy`.",
            "  - 3",
            "  - 5",
        )
    assert "# The control." in path.read_text()
    assert "# What the base has." not in path.read_text()
    assert "lr: 2.0e-3  # the peak" in path.read_text()


def test_a_copy_of_a_copy_has_the_same_base(root):
    project.new("copy", "small", root=root)
    project.new("again", "copy", root=root)
    assert read_preset("again", root).base == "small"


def test_variants_of_a_post_trained_system(root):
    project.new("study", "small", ["mfpt:splice.injector=spoof,bonafide,any"], root=root)
    own, theirs = read_preset("small", root), read_preset("study", root)
    names = ["mfpt-injector-bonafide", "mfpt-injector-any"]
    assert theirs.grid.system == ["lfcc", "lora", "frames", "mfpt", *names, "mfpt_fgfm"]
    assert theirs.grid.posttrained == ["mfpt", *names]
    assert theirs.grid.borrowing == ["mfpt_fgfm"]
    assert theirs.grid.lender == "mfpt"
    assert theirs.finetune["mfpt_fgfm"] == own.finetune["mfpt_fgfm"]
    for name, value in zip(names, ["bonafide", "any"], strict=True):
        assert theirs.splice[name] == own.splice["mfpt"].model_copy(update={"injector": value})
        assert theirs.posttrain[name] == own.posttrain["mfpt"]
        changed = own.finetune["mfpt"].model_copy(update={"encoder": name})
        assert theirs.finetune[name] == changed
    assert list(theirs.splice) == ["heldout", "mfpt", *names, "mfpt_bonafide", "utterance_ft"]
    text = (root / "presets" / "study.yaml").read_text()
    assert "  # The control.\n  utterance_ft:\n" in text


def test_keys_of_one_system_multiply(root):
    vary = ["mfpt:splice.copies=1,2", "mfpt:posttrain.train.lr=0.001,1e-4"]
    project.new("study", "small", vary, root=root)
    preset = read_preset("study", root)
    assert preset.grid.posttrained == [
        "mfpt",
        "mfpt-lr-0_0001",
        "mfpt-copies-2",
        "mfpt-copies-2-lr-0_0001",
    ]
    last = preset.grid.posttrained[-1]
    assert (preset.splice[last].copies, preset.posttrain[last].train.lr) == (2, 1e-4)


def test_keys_of_one_name_are_told_apart(root):
    vary = ["mfpt:posttrain.train.steps=9", "mfpt:finetune.train.steps=9"]
    project.new("study", "small", vary, root=root)
    name = "mfpt-posttrain_train_steps-9-finetune_train_steps-9"
    assert read_preset("study", root).grid.posttrained == ["mfpt", name]


def test_variants_of_systems_that_train_no_encoder_of_their_own(root):
    vary = [
        "lora:finetune.encoder=random",
        "lfcc:finetune.components=4",
        "mfpt_fgfm:finetune.class_weights=auto,[1.0, 9.0]",
    ]
    project.new("study", "small", vary, root=root)
    own, theirs = read_preset("small", root), read_preset("study", root)
    assert theirs.grid.foundation == ["lora", "lora-encoder-random", "frames"]
    assert theirs.grid.classical == ["lfcc", "lfcc-components-4"]
    borrowing = ["mfpt_fgfm", "mfpt_fgfm-class_weights-1_0-9_0"]
    assert theirs.grid.borrowing == borrowing
    assert theirs.grid.voting == borrowing
    assert theirs.finetune[borrowing[1]].class_weights == [1.0, 9.0]
    assert theirs.finetune[borrowing[1]].encoder == "mfpt"
    assert (theirs.splice, theirs.posttrain) == (own.splice, own.posttrain)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("mfpt", r"'mfpt': expected SYSTEM:SECTION\.KEY=VALUE"),
        (
            "mftp:splice.copies=2",
            r"no system 'mftp' .* expected one of lfcc, lora, frames, mfpt, mfpt_fgfm",
        ),
        ("lora:splice.copies=2", r"lora has no section 'splice' .* expected one of finetune"),
        (
            "mfpt:score.batch=2",
            r"no section 'score' .* expected one of splice, posttrain, finetune",
        ),
        ("mfpt:splice.copy=2", r"splice\.mfpt has no 'copy'; expected one of set, base"),
        ("mfpt:splice.copies.x=2", r"splice\.mfpt\.copies has no 'x'; .* nothing below it"),
        ("mfpt:splice.copies=[,", r"'\[,' is not a list of YAML values"),
        ("mfpt:splice.copies=0", r"mfpt-copies-0\.copies = 0: .* greater than or equal to 1"),
        (
            "mfpt:splice.injector=fake",
            r"mfpt-injector-fake\.injector = 'fake': .* 'bonafide', 'spoof' or 'any'",
        ),
        ("mfpt:finetune.encoder=foundation", r"has encoder foundation, but its place"),
        ("mfpt:splice.pattern.name=a.b,a_b", r"there would be two systems mfpt-name-a_b"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(root, item, message):
    before = files(root)
    with pytest.raises(MixframeError, match=message):
        project.new("study", "small", ["lora:finetune.average=3", item], root=root)
    assert files(root) == before


def test_a_key_is_varied_once(root):
    with pytest.raises(MixframeError, match=r"mfpt:splice\.copies is varied twice"):
        project.new("study", "small", ["mfpt:splice.copies=2", "mfpt:splice.copies=3"], root=root)


def test_a_preset_is_never_overwritten(root):
    with pytest.raises(MixframeError, match=r"small\.yaml: already there"):
        project.new("small", "small", root=root)


def test_the_base_has_to_be_there(root):
    with pytest.raises(MixframeError, match="preset = 'large': expected one of small"):
        project.new("study", "large", root=root)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a.b", "-a", "a b", "a\n"])
def test_names_that_are_no_preset(root, name):
    with pytest.raises(MixframeError, match="a preset's name has letters"):
        project.new(name, "small", root=root)


@pytest.mark.parametrize("seeds", [[-1], [1, 1]])
def test_wrong_seeds(root, seeds):
    with pytest.raises(MixframeError, match=r"grid"):
        project.new("study", "small", seeds=seeds, root=root)
    assert not (root / "presets" / "study.yaml").exists()


def test_a_base_with_anchors_is_refused(root):
    path = root / "presets" / "small.yaml"
    path.write_text(path.read_text().replace("encoder:\n", "encoder: &anchor\n", 1))
    with pytest.raises(MixframeError, match=r"small\.yaml, line \d+: an anchor or an alias"):
        project.new("study", "small", root=root)


LEAVES = {
    "splice.copies": st.integers(1, 10**6),
    # YAML's writer rounds the last digits of numbers below the normal ones.
    "splice.clean_share": st.floats(0, 1, allow_subnormal=False),
    "splice.match_gain": st.booleans(),
    "posttrain.train.lr": st.floats(1e-12, 1e12),
    "finetune.average": st.integers(1, 10**6),
    "finetune.class_weights": st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2),
}


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_variant_has_what_was_asked_for_and_nothing_else(home, tmp_path, data):
    key = data.draw(st.sampled_from(sorted(LEAVES)))
    value = data.draw(LEAVES[key])
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    (tmp_path / "presets" / "study.yaml").unlink(missing_ok=True)
    item = f"mfpt:{key}={json.dumps(value)}"
    project.new("study", "small", [item], root=tmp_path)
    own = read_preset("small", tmp_path).model_dump()
    theirs = read_preset("study", tmp_path).model_dump()
    names = theirs["grid"]["posttrained"]
    for section in project.SECTIONS:
        for name in names:
            expected = copy.deepcopy(own[section]["mfpt"])
            if section == "finetune":
                expected["encoder"] = name
            if name != "mfpt" and key.startswith(f"{section}."):
                *parents, leaf = key.split(".")[1:]
                table = expected
                for parent in parents:
                    table = table[parent]
                table[leaf] = value
            assert theirs[section][name] == expected
    section, *rest = key.split(".")
    table = own[section]["mfpt"]
    for part in rest:
        table = table[part]
    assert len(names) == 1 + (table != value)
    assert all(re.fullmatch("[A-Za-z0-9_-]+", name) for name in names)
