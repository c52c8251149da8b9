"""Published figures beside measured ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixframe.audio import manifest
from mixframe.base.errors import MixframeError
from mixframe.base.files import write_json
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import read_preset
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts, eer
from mixframe.metrics.scorefiles import write_scores
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
    figure = by["eer_gap", "eval_21la"].published
    known = {figure: paper.Interval(0.001, 0.009, trained=True)}
    row = next(r for r in paper.beside([figure], measured, known))
    assert (row.low, row.high, row.trained) == (0.001, 0.009, True)
    assert by["eer", "eval_21la"].measured is None
    assert by["eer", "eval_21la"].difference is None


def runs(separations, trained=0.0, seed=0, n=150):
    """Scored trials of trainings that differ by `trained` and, a little, at random."""
    own = np.random.default_rng(seed)
    shared = np.random.default_rng(99).normal(size=2 * n)
    label = np.repeat(["bonafide", "spoof"], n)
    tables = []
    for separation in separations:
        moved = separation + own.normal(0, trained)
        scores = shared + own.normal(0, 0.3, 2 * n) + moved * (label == "bonafide")
        columns = {"trial": [f"t{i}" for i in range(2 * n)], "score": scores, "label": label}
        tables.append(pd.DataFrame(columns))
    return tables


HOW = Settings(DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10), "trial", 200, 0.95, 1)


def rate(tables):
    classes = [
        [table.loc[table["label"] == label, "score"] for label in ("bonafide", "spoof")]
        for table in tables
    ]
    return np.mean([eer(*(part.to_numpy() for part in pair)) for pair in classes])


@pytest.mark.parametrize("n", [1, 3])
def test_a_reduction_has_an_interval_over_what_there_is(n):
    own, baseline = runs([2.2] * n), runs([1.2] * n, seed=1)
    value = 1 - rate(own) / rate(baseline)
    for paired in (True, False):
        known = paper.reduction(own, baseline, HOW, paired)
        assert known is not None
        assert 0 < known.low < value < known.high < 1
        assert known.trained == (n > 1)
    shuffled = [run.sample(frac=1, random_state=3) for run in baseline]
    assert paper.reduction(own, shuffled, HOW, True) == paper.reduction(own, baseline, HOW, True)
    assert paper.reduction(own, [run.iloc[1:] for run in baseline], HOW, True) is None


def test_trainings_widen_the_interval_of_a_reduction():
    def width(trained):
        own, baseline = runs([2.2] * 4, trained), runs([1.2] * 4, trained, seed=1)
        known = paper.reduction(own, baseline, HOW, False)
        return known.high - known.low

    assert width(0.2) > width(0.0)


def test_a_baseline_that_may_be_without_errors_has_no_bounded_reduction():
    baseline = [*runs([9.0] * 2), *runs([1.0], seed=1)]
    assert paper.reduction(runs([2.0] * 3), baseline, HOW, True) is None


def test_a_gap_has_no_sign_and_may_be_none():
    near = paper.gap(runs([2.0] * 3), runs([2.0] * 3, seed=1, n=100), HOW)
    assert near.low == 0 < near.high
    far = runs([3.0] * 3), runs([1.0] * 3, seed=1, n=100)
    known = paper.gap(*far, HOW)
    assert 0 < known.low < abs(rate(far[0]) - rate(far[1])) < known.high
    turned = paper.gap(*reversed(far), HOW)
    assert turned.low == pytest.approx(known.low, abs=0.03)
    assert known.trained
    assert not paper.gap(far[0][:1], far[1][:1], HOW).trained


def test_intervals_come_from_the_scores_of_both_presets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    sets, measured = ("eval_21la", "eval_21df"), {}
    for preset, system, separation in (
        ("asvspoof2019la_fgfm", "conformer_fgfm", 2.2),
        ("asvspoof2019la_conformer", "conformer", 1.2),
        ("asvspoof2019la_mfpt", "mfpt", 1.2),
    ):
        files = Layout(preset, base=read_preset(preset).base)
        table = runs([0.0])[0].rename(columns={"trial": "utterance"}).drop(columns="score")
        table["speaker"] = [f"s{i % 40}" for i in range(len(table))]
        table = table.assign(**dict.fromkeys(("attack", "codec", "subset", "prompt", "path"), "-"))
        table = table.assign(offset=0, n_bytes=0, samples=1, regions=[[]] * len(table))
        of_sets = [table.assign(set=name, utterance=name + table["utterance"]) for name in sets]
        manifest.write(pd.concat(of_sets, ignore_index=True), files.manifest)
        figures = {}
        for k, name in enumerate(sets):
            tables = runs([separation + 0.8 * k] * 2, 0.05, seed=k)
            figures[name] = {"eer": rate(tables), "eer_low": 0.0, "eer_high": 1.0}
            for seed, run in enumerate(tables):
                path = replace(files, seed=seed).scores(system, name)
                write_scores(path, (name + run["trial"]).tolist(), run["score"].to_numpy())
        measured[preset] = {"seeds": [0, 1], "systems": {system: {"sets": figures}}}
    published = paper.read(ROOT / "paper.yaml")
    known = paper.intervals(published, measured)
    assert sorted((p.metric, p.set) for p in known) == [
        ("eer_gap", "eval_21la"),
        ("eer_reduction", "eval_21la"),
    ]
    for row in paper.beside(published, measured, known):
        if row.published in known:
            assert row.low < row.measured < row.high
            assert row.trained
    # A run of another preset may have left only its summary.
    Layout("asvspoof2019la_conformer", 1).scores("conformer", "eval_21la").unlink()
    assert [p.metric for p in paper.intervals(published, measured)] == ["eer_gap"]


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
