"""Rows of the result table that are several systems fused, where a preset asks for them."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_object
from mixframe.experiment.params import Grid, check_grid, read_preset
from mixframe.metrics import detection, fusion, scorefiles
from mixframe.stages import report, summary
from mixframe.stages.context import Context
from tests.test_report import GRID, REPO, fill

NAME = "both"
MEMBERS = ["lfcc", "mfpt"]


def asking(context: Context, fuse: dict[str, list[str]]) -> Context:
    """Return a context whose preset asks for fused rows."""
    how = context.preset.evaluate.model_copy(update={"fuse": fuse})
    preset = context.preset.model_copy(update={"evaluate": how})
    return Context(context.name, preset, context.grid, context.files, context.compute, context.seed)


def scores(context: Context, table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, members) scores of either class of a set, of the first seed."""
    trials = table[table["set"] == name]
    columns = [
        scorefiles.read_scores(context.files.scores(member, name))
        .set_index("trial")["score"]
        .loc[trials["utterance"]]
        for member in MEMBERS
    ]
    values = np.stack(columns, axis=1)
    bonafide = (trials["label"] == "bonafide").to_numpy()
    return values[bonafide], values[~bonafide]


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return fill()


def test_a_fused_row_is_fitted_on_dev_and_stands_below_the_systems(made):
    before = read_object(made.files.summary)
    assert "fused" not in before
    context = asking(made, {NAME: MEMBERS})
    summary.run(context, GRID)
    after = read_object(made.files.summary)
    assert {key: value for key, value in after.items() if key != "fused"} == before
    row = after["fused"][NAME]
    assert row["systems"] == MEMBERS
    table = manifest.read(made.files.manifest)
    fitted = fusion.fit(*scores(made, table, "dev"))
    assert row["weights"] == [pytest.approx(fitted.weights)]
    assert row["offsets"] == [pytest.approx(fitted.offset)]
    for name in GRID.set:
        bonafide, spoof = (fitted(part) for part in scores(made, table, name))
        assert row["sets"][name]["eer"] == pytest.approx(detection.eer(bonafide, spoof))
    lines = made.files.table.read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in lines[2 : 3 + len(GRID.system)]]
    assert rows == [*GRID.system, NAME]
    report.run(context, GRID)
    page = made.files.report.read_text()
    assert "lfcc and mfpt fused by logistic regression on the dev set" in page


@pytest.fixture
def preset_file(tmp_path, monkeypatch):
    """A copy of the preset demo, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "presets" / "demo.yaml"
    path.parent.mkdir()
    shutil.copyfile(REPO / "presets" / "demo.yaml", path)
    return path


def test_a_preset_asks_for_it_by_one_key(preset_file):
    preset = read_preset("demo")
    assert preset.evaluate.fuse == {}
    values = yaml.safe_load(preset_file.read_text())
    values["evaluate"]["fuse"] = {NAME: MEMBERS}
    preset_file.write_text(yaml.safe_dump(values))
    asked = read_preset("demo")
    assert asked.evaluate.fuse == {NAME: MEMBERS}
    # The grid of params.yaml may be another one.
    smaller = Grid.model_validate({**GRID.model_dump(), "system": ["lfcc"], "posttrained": []})
    check_grid(smaller, preset)
    with pytest.raises(MixframeError, match="expected different ones of grid"):
        check_grid(smaller, asked)


@pytest.mark.parametrize(
    ("fuse", "said"),
    [
        ({NAME: ["lfcc", "nobody"]}, r"evaluate\.fuse\.both = .*expected different ones of grid"),
        ({NAME: ["lfcc", "lfcc"]}, r"evaluate\.fuse\.both = .*expected different ones of grid"),
        ({"mfpt": MEMBERS}, r"evaluate\.fuse\.mfpt: there is a system of this name"),
        ({NAME: ["lfcc"]}, "at least 2 items"),
    ],
)
def test_rows_that_cannot_be_made_are_refused(preset_file, fuse, said):
    values = yaml.safe_load(preset_file.read_text())
    values["evaluate"]["fuse"] = fuse
    preset_file.write_text(yaml.safe_dump(values))
    with pytest.raises(MixframeError, match=said):
        read_preset("demo")
