"""What README says of adding things, done in a clone and run by both engines."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from mixframe.models.backbone import grid_of
from tests.pipeline.conftest import clone, ran, replace, results, run
from tests.test_plugins import AUGMENTATION, HEAD, PATTERN

pytestmark = pytest.mark.slow

ATTACK = """
import numpy as np
from mixframe.base.schema import Section


class Params(Section):
    width: int


def synthesise(wave, rng, context, params):
    return np.convolve(wave, np.full(params.width, 1 / params.width), mode="same")
"""
METRIC = """
def min_balanced_error(sample, costs):
    p_miss, p_fa = sample.corners
    return float((p_miss + p_fa).min() / 2)
"""
FIGURE = """
from mixframe.report.draw import Drawing


def figure(data):
    table = data.corpus[["set", "hours"]]
    panels = {"Hours of the sets": lambda canvas: canvas.subplots().plot(table["hours"])}
    return Drawing(table, panels, (3, 2), "Hours.", title="How much speech")
"""
"""Each of these, and of those of tests/test_plugins.py, is a file."""

LINES = {
    "models/heads/__init__.py": ("{", '        "first_frame": "first_frame.FirstFrame",'),
    "audio/splicing/patterns/__init__.py": ("{", '        "middle": "middle.MiddleFrames",'),
    "audio/augmentations/__init__.py": ("{", '        "louder": "louder.Louder",'),
    "corpora/demo/attacks/__init__.py": ("for name in (", '        "muffled",'),
    "metrics/registry.py": (
        "METRICS = (",
        '    Metric("min_ber", balanced.min_balanced_error, "balanced error", brief=VALUE),',
    ),
    "report/figures/__init__.py": ("= {", '    "hours": hours.figure,'),
}
"""The line of each table, and the end of the one that it stands behind."""

IMPORTS = {
    "metrics/registry.py": "from mixframe.metrics import balanced\n",
    "report/figures/__init__.py": "from mixframe.report.figures import hours\n",
}
"""Tables of functions import them."""

STAGE = '''
"""Stage medians: the median score of one system on each evaluation set."""

from dataclasses import replace

import pandas as pd

from mixframe.base.files import write_json
from mixframe.stages.context import running


def run(context, system, grid):
    """Write the medians."""
    with running(context, "medians", system):
        files = replace(context.files, seed=grid.seed[0])
        tables = {name: pd.read_csv(files.scores(system, name), sep="\\t") for name in grid.set}
        medians = {name: float(table["cm-score"].median()) for name, table in tables.items()}
        write_json(context.files.root / "medians" / f"{system}.json", medians)
'''
ENTRY = """
  medians:
    matrix:
      preset: ["${preset}"]
      system: ${grid.system}
    cmd: sh workflow/mixframe medians --preset ${item.preset} --system ${item.system}
    deps:
      - results/${item.preset}/code/medians/${item.system}
      - results/${item.preset}/scores/${item.system}
    params:
      - params.yaml: [grid.seed, grid.set]
    outs:
      - results/${item.preset}/medians/${item.system}.json
"""


def add(folder):
    """Add a plug-in of each kind: its file and its line."""
    package = folder / "src/mixframe"
    (package / "models/heads/first_frame.py").write_text(HEAD)
    (package / "audio/splicing/patterns/middle.py").write_text(PATTERN)
    (package / "audio/augmentations/louder.py").write_text(AUGMENTATION)
    (package / "corpora/demo/attacks/muffled.py").write_text(ATTACK)
    (package / "metrics/balanced.py").write_text(METRIC)
    (package / "report/figures/hours.py").write_text(FIGURE)
    for name, (after, line) in LINES.items():
        text = (package / name).read_text()
        assert text.count(f"{after}\n") == 1, name
        text = text.replace(f"{after}\n", f"{after}\n{line}\n")
        first = "\nfrom mixframe" if "\nfrom mixframe" in text else "\nimport"
        text = text.replace(first, f"\n{IMPORTS.get(name, '')}{first[1:]}", 1)
        (package / name).write_text(text)


def use(folder):
    """Put their values into the smoke preset, in one system, on a corpus of a few utterances."""
    path = folder / "presets/smoke.yaml"
    values = yaml.safe_load(path.read_text())
    only = {"system": ["mfpt"], "posttrained": ["mfpt"], "set": ["eval_seen"]}
    values["grid"] |= {"classical": [], "foundation": [], "borrowing": [], "voting": []} | only
    values["grid"] |= {"lender": "", "localising": []}
    del values["robustness"]
    values["finetune"]["mfpt"] |= {
        "head": {"kind": "first_frame", "scale": 2.0},
        "augment": {"kind": "louder", "factor": 0.5},
    }
    values["splice"]["mfpt"]["pattern"] = {"name": "middle", "width": 4}
    corpus = values["protocol"]["corpora"]["demo"]
    corpus["attacks_eval"] = ["world", "muffled"]
    corpus["attacks"]["muffled"] = {"width": 5}
    values["protocol"]["shortcut_min_eer"] = 0.0
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    # With the clone's own source, as the engines' commands have it.
    run(folder, "sh", "workflow/mixframe", "use", "smoke")


def test_a_plug_in_of_each_kind_is_a_file_a_line_and_its_values(tmp_path):
    folder = clone(tmp_path)
    before = (folder / "dvc.yaml").read_text()
    add(folder)
    use(folder)
    run(folder, "dvc", "repro")
    root = folder / "results/smoke"
    assert (folder / "dvc.yaml").read_text() == before

    table = pd.read_parquet(root / "corpus/manifest.parquet")
    muffled = table[table["attack"] == "muffled"]
    assert set(muffled["set"]) == {"eval_seen", "eval_unseen"}
    details = json.loads((root / "details/mfpt.json").read_text())["eval_seen"]
    assert details["by_attack"].keys() == {"world", "muffled"}

    plan = pd.read_parquet(root / "splice/mfpt/1/plan.parquet")
    spliced = plan[plan["starts"].map(len) > 0]
    assert len(spliced)
    frames = grid_of(json.loads((root / "pretrain/config.json").read_text()))
    for row in spliced.itertuples():
        start = (frames.n_frames(row.n_samples) - 4) // 2 * frames.hop
        assert (*row.starts, *row.ends) == (start, start + 4 * frames.hop)

    head = load_file(root / "finetune/mfpt/1/head.safetensors")
    assert {name: value.shape for name, value in head.items()} == {
        "classify.weight": (2, 32),
        "classify.bias": (2,),
    }

    figures = json.loads((root / "metrics/mfpt.json").read_text())["eval_seen"]
    assert 0 <= figures["min_ber"] <= figures["eer"]
    page = (root / "report.html").read_text()
    assert "How much speech" in page
    assert "Hours of the sets" in page
    assert (root / "figures/hours.png").is_file()

    curve = results(folder, "curves/finetune-mfpt-1.csv")
    replace(folder / "presets/smoke.yaml", "factor: 0.5", "factor: 0.25")
    cells = {"code_base@smoke", "code@smoke", "finetune_posttrained@smoke-mfpt-1"}
    assert ran(run(folder, "dvc", "repro", "finetune_posttrained")) == cells
    assert results(folder, "curves/finetune-mfpt-1.csv") != curve


def test_a_stage_is_its_module_and_its_entry_under_both_engines(finished):
    (finished / "src/mixframe/stages/medians.py").write_text(STAGE.lstrip())
    replace(finished / "dvc.yaml", "\n  summary:\n", f"{ENTRY}\n  summary:\n")
    systems = yaml.safe_load((finished / "params.yaml").read_text())["grid"]["system"]
    cells = {f"medians@smoke-{system}" for system in systems}
    log = run(finished, "snakemake", "-n", "-p")
    assert set(re.findall(r"> .mixframe/ran/(\S+)", log)) == cells
    # The other stages run no code of the new one.
    assert ran(run(finished, "dvc", "repro")) == cells | {"code@smoke", "code_base@smoke"}
    made = results(finished, "medians/*.json")
    assert made.keys() == {f"medians/{system}.json" for system in systems}
    scores = pd.read_csv(finished / "results/smoke/scores/lora/1/eval_partial.tsv", sep="\t")
    median = {"eval_partial": scores["cm-score"].median()}
    assert json.loads(made["medians/lora.json"]) == median
    assert "Nothing to be done" in run(finished, "snakemake", "-n")
    shutil.rmtree(finished / "results/smoke/medians")
    run(finished, "snakemake", "--cores", "1")
    assert results(finished, "medians/*.json") == made
    assert "up to date" in run(finished, "dvc", "status")
