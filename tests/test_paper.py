"""Published figures beside measured ones."""

from pathlib import Path

import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.files import write_json
from mixframe.experiment.params import read_preset
from mixframe.report import paper

ROOT = Path(__file__).parents[1]


def summary(**systems):
    return {
        "systems": {
            system: {"sets": {n: {"eer": e, "eer_low": e - 0.01, "eer_high": e + 0.01}}}
            for system, (n, e) in systems.items()
        }
    }


def test_every_figure_of_both_papers_is_there():
    found = {(p.paper, p.metric, p.set, p.value) for p in paper.read(ROOT / "paper.yaml")}
    assert found == {
        ("mfpt", "eer", "eval", 0.045),
        ("mfpt", "eer_gap", "eval_21la", 0.0016),
        ("fgfm", "eer", "eval_21la", 0.009),
        ("fgfm", "eer", "eval_21df", 0.0188),
        ("fgfm", "eer", "eval_itw", 0.0664),
        ("fgfm", "eer_reduction", "eval_21la", 0.072),
        ("fgfm", "eer_reduction", "eval_21df", 0.271),
        ("fgfm", "eer_reduction", "eval_itw", 0.211),
    }


def test_what_measures_a_figure_is_in_the_preset():
    for figure in paper.read(ROOT / "paper.yaml"):
        cells = [(figure.preset, figure.system)]
        if figure.metric == "eer_reduction":
            cells.append(tuple(figure.other.split("/")))
        for preset, system in cells:
            grid = read_preset(preset, ROOT).grid
            assert system in grid.system
            assert figure.set in grid.set


def test_measured_figures_stand_beside_published_ones():
    gap = summary(mfpt=("eval_21la", 0.02))
    gap["systems"]["mfpt"]["sets"]["eval_21df"] = {"eer": 0.025}
    measured = {
        "asvspoof5_mfpt": summary(mfpt=("eval", 0.06)),
        "asvspoof2019la_mfpt": gap,
        "asvspoof2019la_fgfm": summary(conformer_fgfm=("eval_itw", 0.06)),
        "asvspoof2019la_conformer": summary(conformer=("eval_itw", 0.08)),
    }
    rows = paper.beside(paper.read(ROOT / "paper.yaml"), measured)
    by = {(r.published.metric, r.published.set): r for r in rows}
    first = by["eer", "eval"]
    assert (first.measured, first.low, first.high) == pytest.approx((0.06, 0.05, 0.07))
    assert first.difference == pytest.approx(0.015)
    assert by["eer_gap", "eval_21la"].measured == pytest.approx(0.005)
    assert by["eer_reduction", "eval_itw"].measured == pytest.approx(0.25)
    assert by["eer", "eval_21la"].measured is None
    assert by["eer", "eval_21la"].difference is None


def test_what_was_not_run_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = paper.read(ROOT / "paper.yaml")
    assert paper.summaries(published) == {}
    assert all(row.measured is None for row in paper.beside(published, {}))
    write_json(
        tmp_path / "results" / "asvspoof5_mfpt" / "summary" / "summary.json",
        summary(mfpt=("eval", 0.06)),
    )
    assert list(paper.summaries(published)) == ["asvspoof5_mfpt"]


def test_mistakes_are_named(tmp_path):
    path = tmp_path / "paper.yaml"
    text = (ROOT / "paper.yaml").read_text()
    path.write_text(text.replace("value: 0.0450", "value: 4.5"))
    with pytest.raises(MixframeError, match=r"papers\.mfpt\.figures\.0\.value = 4\.5"):
        paper.read(path)
    path.write_text(text.replace("metric: eer_gap", "metric: eer"))
    with pytest.raises(MixframeError, match="does not go with metric eer"):
        paper.read(path)
