"""Every corpus through every command of the pipeline, at the smallest size that trains."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro

from mixframe.base.files import read_json
from mixframe.cli import main
from tests.corpora.build import ARCHIVES, LAYOUT, packed, unpacked
from tests.pipeline.conftest import ROOT, clone, run

pytestmark = pytest.mark.slow

N_TRIALS = 16
TINY = {"steps": 2, "batch": 4, "slices": 2, "warmup": 0, "evaluate_every": 2}


def corpus_sections(preset, kinds, url):
    """Point a published preset's corpora at the test's server and sizes."""
    values = yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text())
    archive = {"url": "", "checksum": "", "bytes": 0}
    for kind in kinds:
        values["download"][kind] |= {
            "addresses": [url],
            "archives": dict.fromkeys(ARCHIVES[kind], archive),
            "disk_gb": 0,
        }
        section = values["protocol"]["corpora"][kind]
        section["trials"] = dict.fromkeys(section["trials"], N_TRIALS)
    return values["download"], values["protocol"]


def tiny(preset, kinds, url, encoder):
    """Return a published preset with tiny training and a random encoder from a folder."""
    values = yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text())
    values["download"], values["protocol"] = corpus_sections(preset, kinds, url)
    values["compute"] |= {"device": "cpu", "workers": 1, "isa": "pinned"}
    values["pretrain"] = {"kind": "folder", "path": str(encoder)}
    for sections in (values["posttrain"], values["finetune"]):
        for section in sections.values():
            section["train"] |= TINY | {"precision": "fp32"}
            # With one validation there is nothing to stop.
            section |= {"patience": 0} if "patience" in section else {}
    values["evaluate"]["bootstrap"]["resamples"] = 20
    return values


CASES = {
    "asvspoof5_mfpt": ["asvspoof5"],
    "asvspoof2019la_mfpt": [
        "asvspoof2019_la",
        "asvspoof2021_la",
        "asvspoof2021_df",
        "in_the_wild",
    ],
}


@pytest.mark.parametrize("preset", CASES)
def test_from_archive_to_report(preset, tmp_path, monkeypatch, site, encoder_folder):
    kinds = CASES[preset]
    for kind in kinds:
        packed(kind, unpacked(kind, tmp_path / "whole" / kind, N_TRIALS), site.folder)
    cut = next(iter(ARCHIVES[kinds[0]]))
    site.cuts[cut] = 300
    folder = clone(tmp_path / "clone", speech=Path("nowhere"))
    values = tiny(preset, kinds, site.url, encoder_folder)
    (folder / "presets" / f"{preset}.yaml").write_text(yaml.safe_dump(values))
    run(folder, "mixframe", "use", preset)

    with Repo(str(folder)) as repo:
        commands = [stage.cmd for stage in plan_repro(repo.index.graph)]
    monkeypatch.chdir(folder)
    for command in commands:
        done = CliRunner().invoke(main, command.partition("mixframe ")[2].split())
        assert done.exit_code == 0, f"{command}\n{done.output}"
    assert (cut, "bytes=300-") in site.asked

    root, grid = folder / "results" / preset, values["grid"]
    table = pd.read_parquet(root / "corpus/manifest.parquet")
    assert set(grid["set"]) < set(table["set"])
    assert len((root / "corpus/protocol.txt").read_text().splitlines()) == len(table)
    assert (root / "checks/left_out.csv").read_text() == "corpus,set,utterance,label,reason\n"
    fetched = read_json(root / "download/download.json").values()
    assert sum(len(entry["files"]) for entry in fetched) == sum(len(LAYOUT[k]) for k in kinds)
    for system in grid["system"]:
        figures = read_json(root / f"metrics/{system}.json")
        assert set(figures) >= set(grid["set"])
        assert all(0 <= figures[name]["eer"] <= 1 for name in grid["set"])
    report = (root / "report.html").read_text()
    assert all(name in report for name in (*grid["system"], *grid["set"]))
