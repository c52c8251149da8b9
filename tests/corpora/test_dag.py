"""Every corpus through every stage up to its figures, at the smallest size that trains."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from mixframe.files import read_json
from mixframe.stages import (
    download,
    evaluate,
    finetune,
    posttrain,
    pretrain,
    protocol,
    score,
    splice,
)
from mixframe.stages.context import open_context
from tests.corpora.build import ARCHIVES, LAYOUT, packed, unpacked

ROOT = Path(__file__).parents[2]
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
    values["compute"] |= {"device": "cpu", "workers": 1}
    values["pretrain"] = {"kind": "folder", "path": str(encoder)}
    for sections in (values["posttrain"], values["finetune"]):
        for section in sections.values():
            section["train"] |= TINY | {"precision": "fp32"}
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
def test_from_archive_to_figures(preset, tmp_path, monkeypatch, site, encoder_folder):
    kinds = CASES[preset]
    for kind in kinds:
        packed(kind, unpacked(kind, tmp_path / "whole" / kind, N_TRIALS), site.folder)
    cut = next(iter(ARCHIVES[kinds[0]]))
    site.cuts[cut] = 300
    work = tmp_path / "work"
    (work / "presets").mkdir(parents=True)
    monkeypatch.chdir(work)
    values = tiny(preset, kinds, site.url, encoder_folder)
    (work / "presets" / f"{preset}.yaml").write_text(yaml.safe_dump(values))
    context = open_context(preset, {}, seed=1)
    grid, files = context.preset.grid, context.files

    download.run(context)
    assert (cut, "bytes=300-") in site.asked
    protocol.run(context)
    table = pd.read_parquet(files.manifest)
    assert set(grid.set) < set(table["set"])
    assert len(files.protocol.read_text().splitlines()) == len(table)
    assert files.left_out.read_text() == "corpus,set,utterance,label,reason\n"
    pretrain.run(context)
    splice.run(context, "heldout")
    for system in grid.posttrained:
        splice.run(context, system)
        posttrain.run(context, system)
    for system in grid.system:
        finetune.run(context, system)
        for name in grid.set:
            score.run(context, system, name)
        evaluate.run(context, system, grid)
        figures = read_json(files.metrics(system))
        assert set(figures) >= set(grid.set)
        assert all(0 <= figures[name]["eer"] <= 1 for name in grid.set)
    assert sum(len(LAYOUT[kind]) for kind in kinds) == len(
        [f for e in read_json(files.download).values() for f in e["files"]]
    )
