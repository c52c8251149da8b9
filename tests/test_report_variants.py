"""EER against one value: which systems stand on one line, and what is drawn of them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from mixframe.experiment import project
from mixframe.experiment.params import Grid, Preset, read_preset
from mixframe.report import draw
from mixframe.report.figures import variants

REPO = Path(__file__).parents[1]


@pytest.fixture
def preset(tmp_path: Path) -> Preset:
    """The demo with variants of mfpt as `mixframe new` writes them."""
    (tmp_path / "presets").mkdir()
    for name in ("params.yaml", "presets/demo.yaml"):
        shutil.copy(REPO / name, tmp_path / name)
    vary = ["mfpt:splice.pattern.max_ratio=0.05,0.9", "utterance_ft:finetune.crop=first"]
    project.new("made", "demo", vary, [1, 2, 3], tmp_path)
    return read_preset("made", tmp_path)


def results(grid: Grid) -> pd.DataFrame:
    """Rates of every system of a grid, of three seeds."""
    rows = [
        {"system": system, "set": name, "eer": 0.1 + 0.01 * place}
        for place, system in enumerate(grid.system)
        for name in grid.set
    ]
    table = pd.DataFrame(rows)
    ends = {"eer_low": table["eer"] - 0.01, "eer_high": table["eer"] + 0.01}
    both = {"eer_both_low": table["eer"] - 0.02, "eer_both_high": table["eer"] + 0.03}
    return table.assign(**ends, **both)


def test_systems_that_differ_in_one_value_stand_on_one_line(preset: Preset) -> None:
    grid = preset.grid
    rates = variants.rates(results(grid), preset, grid)
    on_one = rates[rates["set"] == "eval_seen"].groupby("key", sort=False)
    assert {key: list(zip(rows["system"], rows["value"], strict=True)) for key, rows in on_one} == {
        "finetune.crop": [("utterance_ft", "random"), ("utterance_ft-crop-first", "first")],
        "splice.pattern.max_ratio": [
            ("mfpt-max_ratio-0_05", 0.05),
            ("mfpt", 0.5),
            ("mfpt-max_ratio-0_9", 0.9),
        ],
    }
    assert set(rates["line"]) == {"utterance_ft", "mfpt"}
    assert set(rates["set"]) == set(grid.set)
    # The interval is over trials and trainings where there is one.
    assert (rates["eer"] - rates["low"]).tolist() == pytest.approx([0.02] * len(rates))
    assert (rates["high"] - rates["eer"]).tolist() == pytest.approx([0.03] * len(rates))


def test_a_second_difference_takes_a_system_off_the_line(preset: Preset) -> None:
    changed = preset.splice["mfpt-max_ratio-0_9"].model_copy(update={"crossfade": 7})
    other = preset.model_copy(update={"splice": {**preset.splice, "mfpt-max_ratio-0_9": changed}})
    rates = variants.rates(results(preset.grid), other, preset.grid)
    numbers = rates[rates["key"] == "splice.pattern.max_ratio"]
    assert set(numbers["system"]) == {"mfpt", "mfpt-max_ratio-0_05"}


def test_numbers_stand_on_their_axis_and_words_side_by_side(preset: Preset) -> None:
    grid = preset.grid
    drawing = variants.drawing(variants.rates(results(grid), preset, grid), grid)
    assert drawing.title == variants.TITLE
    assert len(drawing.panels) == 2 * len(grid.set)
    assert [key.label for key in drawing.legend] == ["utterance_ft", "mfpt"]
    assert draw.to_png(drawing.whole()) == draw.to_png(drawing.whole())
    axes = {axis.get_xlabel(): axis for axis in drawing.whole().axes}
    ratio, crop = axes["splice.pattern.max_ratio"], axes["finetune.crop"]
    assert ratio.get_xscale() == "log"
    assert [tick.get_text() for tick in ratio.get_xticklabels()] == ["0.05", "0.5", "0.9"]
    assert ratio.get_xticks().tolist() == [0.05, 0.5, 0.9]
    assert ratio.get_xlim()[0] < 0.05 < 0.9 < ratio.get_xlim()[1]
    assert [tick.get_text() for tick in crop.get_xticklabels()] == ["random", "first"]
    assert crop.get_xticks().tolist() == [0, 1]


def test_without_variants_there_is_no_section() -> None:
    preset = read_preset("demo", REPO)
    rates = variants.rates(results(preset.grid), preset, preset.grid)
    drawing = variants.drawing(rates, preset.grid)
    assert (len(rates), drawing.panels, drawing.title) == (0, {}, "")
    assert "No two systems differ" in draw.to_svg(drawing.whole(), text=True)
