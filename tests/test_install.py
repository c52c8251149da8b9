"""What is installed for what: the extra of the demo's corpus, lists of packages that must agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from mixframe.base.errors import MixframeError
from mixframe.corpora.demo.attacks.packages import PACKAGES, NotInstalled, need
from mixframe.experiment import machine

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def name_of(requirement):
    name = re.match(r"[A-Za-z0-9._-]+", requirement).group()
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_extra_is_what_the_attacks_import():
    named = {name_of(requirement) for requirement in EXTRAS["demo"]}
    assert named - {"setuptools"} == set(PACKAGES.values())
    core = {name_of(requirement) for requirement in PROJECT["project"]["dependencies"]}
    assert not core & named


BLOCKED = """
import sys

for name in ("espeakng_loader", "parselmouth", "pyworld"):
    sys.modules[name] = None
import importlib
import pkgutil

import mixframe

for module in pkgutil.walk_packages(mixframe.__path__, "mixframe."):
    if not module.name.endswith(("__main__", "tts_process")):
        importlib.import_module(module.name)
print("imported")
"""


def test_every_module_imports_without_the_packages_of_the_demo():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert done.stdout == "imported\n", done.stderr


@pytest.mark.parametrize("module", PACKAGES)
def test_one_sentence_names_the_package_that_is_missing(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalled, match=f"^{PACKAGES[module]} is not installed.*`demo`"):
        need(module)


def test_a_fingerprint_leaves_out_what_is_not_installed(monkeypatch, tmp_path):
    def absent():
        raise NotInstalled("pyworld is not installed")

    monkeypatch.setattr(machine, "computations", lambda: {"attack world": absent})
    (result,) = machine.fingerprint()
    assert result.made == machine.ABSENT
    assert result.agrees
    assert "not installed for: attack world: all 0 computations agree" in machine.verdict([result])
    with pytest.raises(MixframeError, match="not written; not installed for: attack world"):
        machine.renew([result], tmp_path / "hashes.yaml")


# lists that must agree


def part(inside):
    rule = f"show: ; @$(call PART,{inside})"
    command = ["make", "--no-print-directory", "-s", f"--eval={rule}", "show"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_splits_the_lock_into_core_and_demo():
    lock = (ROOT / "requirements.lock").read_text()
    core, demo = part(0), part(1)
    assert sorted((core + demo).splitlines()) == sorted(lock.splitlines())
    pinned = {line.split("==")[0] for line in demo.splitlines() if "==" in line}
    assert pinned == set(PACKAGES.values())
    assert demo.count("--hash=sha256:") >= len(pinned)


def test_the_environment_for_conda_has_the_versions_of_the_lock():
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"(?m)^(\S+)==(\S+) (?:; python_full_version < '3.12' )?\\$", lock)
    direct = PROJECT["project"]["dependencies"] + EXTRAS["demo"]
    wanted = {f"{name}=={version}" for name, version in pins} & {
        f"{name}=={version}" for name, version in pins if name in set(map(name_of, direct))
    }
    listed = yaml.safe_load((ROOT / "workflow/envs/mixframe.yaml").read_text())["dependencies"]
    (from_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert set(from_pip) == wanted
    assert len(wanted) == len(direct)


def test_the_image_for_apptainer_has_what_the_package_is_built_of():
    text = (ROOT / "mixframe.def").read_text()
    section = text.split("%files\n")[1].split("\n\n")[0]
    copied = [line.split()[0] for line in section.splitlines()]
    assert all((ROOT / path).exists() for path in copied)
    for pattern in PROJECT["tool"]["mixframe"]["project"]:
        assert any(pattern == path or pattern.startswith(f"{path}/") for path in copied), pattern


def test_every_page_is_in_the_site():
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text())
    pages = re.findall(r"(?m)^ +- (\S+\.md)$", text.split("nav:")[1])
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert there <= set(pages)
    assert set(pages) - there == {"index.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}


def test_what_contributing_points_at_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`((?:src|tests)/\S+?)`", text):
        assert (ROOT / path).exists(), path
