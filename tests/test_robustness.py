"""Distortions: planned, made on the fly, scored, and what is said of the scores."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from click.testing import CliRunner

from mixframe.audio import manifest
from mixframe.audio.distortions import planning
from mixframe.audio.distortions.conditions import READY, read_conditions
from mixframe.audio.distortions.planning import CLEAN, render
from mixframe.audio.io import read
from mixframe.base.errors import MixframeError
from mixframe.base.schema import validate
from mixframe.cli import main
from mixframe.experiment.params import read_preset
from mixframe.experiment.robustness import Robustness, Trials
from mixframe.metrics import robustness
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.calibration import fit
from mixframe.metrics.detection import DcfCosts
from mixframe.metrics.scorefiles import by_class
from mixframe.metrics.tables import robustness_markdown
from mixframe.report.figures import degradation
from mixframe.report.figures import robustness as heat
from mixframe.stages import evaluate_robust, score_robust
from mixframe.stages.distort import choose

ROOT = Path(__file__).parents[1]
NAMES = ("white_snr10", "stretch_105pct", "g722_64k", "loss_20pct_zero", "pad_500ms")
HOW = Settings(DcfCosts(0.05, 1.0, 10.0), "trial", 100, 0.95, 0)


@pytest.fixture(scope="module")
def conditions():
    """A few ready ones: drawn, of another length, by FFmpeg."""
    ready = read_conditions(ROOT / READY)
    return {name: ready[name] for name in NAMES}


@pytest.fixture
def rows(make_manifest):
    """Of a set of twelve tones, labels in turn."""
    return make_manifest({"eval": 6}, (0.5, 0.8))


def test_a_plan_has_every_utterance_under_every_condition_and_clean(rows, conditions, tmp_path):
    planned = planning.plan(rows, conditions, seed=3)
    assert list(planned["condition"].unique()) == [CLEAN, *NAMES]
    for _, part in planned.groupby("condition"):
        assert part["utterance"].tolist() == rows["utterance"].tolist()
    planning.write_plan(planned, tmp_path / "plan.parquet")
    first, *others = planning.read_plan(tmp_path / "plan.parquet")
    assert first.ref == manifest.refs(rows)[0]
    assert first.chain == ""
    assert '"snr_db": 10' in others[len(rows)].chain


def test_draws_depend_on_the_utterance_and_the_seed_alone(rows, conditions):
    planned = planning.plan(rows, conditions, seed=3)
    assert planned.groupby("utterance")["seed"].nunique().eq(1).all()
    assert planned["seed"].nunique() == len(rows)
    others = rows.assign(label=rows["label"][::-1].to_numpy(), attack="A99")
    assert planning.plan(others, conditions, seed=3).equals(planned)
    part = planning.plan(rows[::-1][:4], dict(reversed(conditions.items())), seed=3)
    both = part.merge(planned, on=["utterance", "condition"])
    assert (both["seed_x"] == both["seed_y"]).all()
    assert set(planning.plan(rows, conditions, seed=4)["seed"]).isdisjoint(planned["seed"])


def test_the_same_samples_for_any_number_of_workers_and_any_order(
    rows, conditions, tmp_path, monkeypatch
):
    monkeypatch.setattr(score_robust, "CHUNK", 5)
    planning.write_plan(planning.plan(rows, conditions, seed=3), tmp_path / "plan.parquet")
    plan = planning.read_plan(tmp_path / "plan.parquet")
    alone = {(row.condition, row.utterance): render(row) for row in reversed(plan)}
    heard = list(score_robust.rendered(plan, workers=2))
    assert {len(waves) for _, waves in heard} == {5, 2}
    for condition, waves in heard:
        for utterance, wave in waves.items():
            expected = alone.pop((condition, utterance))
            assert wave.dtype == np.float32
            assert np.array_equal(wave, expected)
    assert not alone


def test_clean_is_the_recording_and_lengths_change_where_they_should(rows, conditions, tmp_path):
    planning.write_plan(planning.plan(rows[:1], conditions, seed=3), tmp_path / "plan.parquet")
    waves = {row.condition: render(row) for row in planning.read_plan(tmp_path / "plan.parquet")}
    clean = read(manifest.refs(rows)[0])
    assert np.array_equal(waves.pop(CLEAN), clean)
    for name, wave in waves.items():
        assert (wave.size == clean.size) == conditions[name].keeps_length, name
        assert not np.array_equal(wave, clean), name


def test_bona_fide_and_spoof_are_treated_alike(make_manifest, tmp_path):
    """Tones of one kind under two labels: no trivial statistic tells them apart afterwards."""
    rows = make_manifest({"eval": 40}, (0.3, 0.5))
    rows = rows.assign(label=np.random.default_rng(1).permutation(rows["label"]))
    ready = read_conditions(ROOT / READY)
    some = {name: ready[name] for name in ("white_snr0", "gaps_4_a_second", "room_rt800ms")}
    planning.write_plan(planning.plan(rows, some, seed=1), tmp_path / "plan.parquet")
    label = dict(zip(rows["utterance"], rows["label"], strict=True))
    for name in some:
        plan = [r for r in planning.read_plan(tmp_path / "plan.parquet") if r.condition == name]
        changed = [render(row) for row in plan]
        duration = np.array([wave.size for wave in changed], float)
        level = np.array([np.square(wave).mean() for wave in changed])
        spoof = np.array([label[row.utterance] == "spoof" for row in plan])
        for values in (duration, level):
            assert abs(np.argsort(np.argsort(values))[spoof].mean() - 39.5) < 12, name


def test_trials_are_drawn_by_class_and_attack(make_manifest):
    rows = make_manifest({"eval": 20}, (0.2, 0.3))
    drawn = choose(rows, Trials(bonafide=7, spoof_per_attack=3), seed=1)
    counts = drawn.groupby(["label", "attack"]).size()
    assert counts.loc["bonafide"].tolist() == [7]
    assert counts.loc["spoof"].tolist() == [3, 3, 3]
    assert drawn.index.is_monotonic_increasing
    assert drawn.equals(choose(rows, Trials(bonafide=7, spoof_per_attack=3), seed=1))
    other = choose(rows, Trials(bonafide=7, spoof_per_attack=3), seed=2)
    assert set(other["utterance"]) != set(drawn["utterance"])
    assert len(choose(rows, Trials(bonafide=99, spoof_per_attack=99), seed=1)) == len(rows)


def test_scores_come_in_the_order_of_the_utterances():
    waves = {f"u{i}": np.full(10 + i, i, np.float32) for i in range(4)}

    def scorer(refs, samples, read):
        parts = [read(ref, 0, n) for ref, n in zip(refs, samples, strict=True)]
        assert [part.size for part in parts] == [10, 11, 12, 13]
        assert read(refs[3], 2, 5).size == 5
        return np.array([part.sum() for part in parts])

    assert score_robust.score(scorer, waves) == [0, 11, 24, 39]


SECTION = {
    "systems": ["a"],
    "sets": ["eval"],
    "trials": {"bonafide": 2, "spoof_per_attack": 1},
    "conditions": {
        "loud": {"kind": "level", "gain_db": 6.0},
        "louder": {"kind": "level", "gain_db": 12.0},
    },
    "curves": {"level": {"axis": "dB", "strengths": {"loud": 6.0, "louder": 12.0}}},
}


def section(**changes):
    return validate(Robustness, {**SECTION, **changes}, "preset")


def test_a_plan_of_other_conditions_is_refused(rows, tmp_path):
    planning.write_plan(planning.plan(rows, section().conditions, 1), tmp_path / "plan.parquet")
    plan = planning.read_plan(tmp_path / "plan.parquet")
    score_robust._check(plan, section(), "plan")
    quieter = {**SECTION["conditions"], "louder": {"kind": "level", "gain_db": 11.0}}
    with pytest.raises(MixframeError, match=r"plan: condition louder is .*12.*run `dvc repro`"):
        score_robust._check(plan, section(conditions=quieter), "plan")
    fewer = {"loud": SECTION["conditions"]["loud"]}
    with pytest.raises(MixframeError, match=r"condition louder is .* None"):
        score_robust._check(plan, section(conditions=fewer, curves={}), "plan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": {"x": {"kind": "echo"}}, "curves": {}}, "conditions.x.kind = 'echo'"),
        (
            {"conditions": {"x": {"kind": "clip", "share": 2.0}}, "curves": {}},
            "conditions.x.clip.share = 2.0",
        ),
        ({"conditions": {CLEAN: {"kind": "polarity"}}, "curves": {}}, "conditions.clean"),
        (
            {"curves": {"c": {"axis": "", "strengths": {"loud": 1.0, "mp3": 2.0}}}},
            "curves.c.strengths: no condition 'mp3'; expected some of loud, louder",
        ),
        ({"sets": []}, "sets"),
    ],
)
def test_a_wrong_section_is_named(changes, message):
    with pytest.raises(MixframeError, match=message.replace(".", r"\.")):
        section(**changes)


def test_an_empty_folder_of_noise_names_condition_utterance_and_folder(rows, tmp_path):
    noise = {"kind": "noise_files", "folder": str(tmp_path / "none"), "files": 1, "snr_db": 5.0}
    of = section(conditions={"babble": noise}, curves={}).conditions
    planning.write_plan(planning.plan(rows[:1], of, 1), tmp_path / "plan.parquet")
    with pytest.raises(MixframeError, match=r"babble of eval_000: .*none: no such folder"):
        render(planning.read_plan(tmp_path / "plan.parquet")[1])


def test_a_row_of_a_plan_can_be_listened_to(rows, conditions, tmp_path):
    plan = tmp_path / "plan.parquet"
    planning.write_plan(planning.plan(rows, conditions, 1), plan)
    out = tmp_path / "row.flac"
    number = len(rows) + 1
    listen = ["distort", str(out), "--plan", str(plan), "--row"]
    said = CliRunner().invoke(main, [*listen, str(number)])
    assert said.exit_code == 0, said.output
    assert "eval_001, white_snr10, seed " in said.output
    heard, rate = soundfile.read(out, dtype="float32")
    assert rate == 16_000
    assert np.array_equal(heard, render(planning.read_plan(plan)[number]))
    said = CliRunner().invoke(main, [*listen, "999"])
    assert said.exit_code == 1
    assert "no row 999; expected 0 to 71" in said.output
    for wrong in (["--plan", str(plan)], [], ["--condition", "opus_12k"]):
        assert CliRunner().invoke(main, ["distort", str(out), *wrong]).exit_code == 2


def scored(shift_bonafide=0.0, shift_spoof=0.0, seed=0, noise=0.0, n=60):
    """Scores of n bona fide and n spoofed trials, bona fide around 2, spoof around 0."""
    base = np.random.default_rng(0).standard_normal((2, n)) + np.array([[2.0], [0.0]])
    extra = noise * np.random.default_rng(seed).standard_normal((2, n))
    values = (base + extra + [[shift_bonafide], [shift_spoof]]).ravel()
    label = ["bonafide"] * n + ["spoof"] * n
    return pd.DataFrame(
        {"trial": [f"t{i}" for i in range(2 * n)], "label": label, "score": values, "attack": "x"}
    )


def figures_of(systems, clean=CLEAN):
    fitted = {s: [fit(*by_class(run)) for run in of[clean]] for s, of in systems.items()}
    return robustness.evaluate(systems, clean, fitted, HOW)


def test_nothing_changes_where_nothing_changed():
    clean = scored()
    figures = figures_of({"a": {CLEAN: [clean], "same": [clean]}})
    same = figures["conditions"]["a"]["same"]
    assert same["change"]["difference"] == 0
    assert same["change"]["trials_p"] == 1
    assert same["bonafide_shift"] == same["spoof_shift"] == 0
    assert "change" not in figures["conditions"]["a"][CLEAN]
    keys = ("eer", "low", "high", "miss", "false_alarm", "act_dcf", "cllr")
    assert all(same[key] == figures["conditions"]["a"][CLEAN][key] for key in keys)


def test_the_side_that_breaks_is_told_and_a_common_shift_costs_calibration_only():
    runs = {
        CLEAN: [scored()],
        "spoof_up": [scored(shift_spoof=1.0)],
        "both_down": [scored(-1.5, -1.5)],
    }
    of = figures_of({"a": runs})["conditions"]["a"]
    unit = robustness.deviation(scored())
    assert of["spoof_up"]["spoof_shift"] == pytest.approx(1 / unit)
    assert of["spoof_up"]["bonafide_shift"] == pytest.approx(0)
    assert of["spoof_up"]["false_alarm"] > of[CLEAN]["false_alarm"]
    assert of["spoof_up"]["miss"] == of[CLEAN]["miss"]
    assert of["spoof_up"]["change"]["reason"] == "one training"
    assert of["both_down"]["eer"] == of[CLEAN]["eer"]
    assert of["both_down"]["cllr"] > of[CLEAN]["cllr"]
    assert of["both_down"]["miss"] > of[CLEAN]["miss"]


def test_mean_and_worst_condition():
    runs = {
        CLEAN: [scored()],
        "worse": [scored(shift_spoof=1.5)],
        "bad": [scored(shift_spoof=1.0)],
    }
    figures = figures_of({"a": runs})
    of, total = figures["conditions"]["a"], figures["systems"]["a"]
    assert total["worst"]["condition"] == "worse"
    assert total["mean"]["eer"] == pytest.approx((of["worse"]["eer"] + of["bad"]["eer"]) / 2)
    assert total["mean"]["low"] <= total["mean"]["eer"] <= total["mean"]["high"]
    table = robustness_markdown(figures)
    assert "mean of 2 conditions" in table
    assert "worse" in table


def test_whether_a_difference_holds_over_the_conditions():
    names = ("one", "two", "three")
    good = {CLEAN: [scored()], **{name: [scored()] for name in names}}
    mixed = {
        CLEAN: [scored()],
        "one": [scored(shift_spoof=2.0)],
        "two": [scored()],
        "three": [scored(shift_bonafide=3.0)],
    }
    figures = figures_of({"good": good, "mixed": mixed})
    [pair] = figures["pairs"]
    assert (pair["first"], pair["second"]) == ("good", "mixed")
    assert pair["lower"] == ["one"]
    assert pair["higher"] == ["three"]
    means = [figures["systems"][name]["mean"]["eer"] for name in ("good", "mixed")]
    assert pair["mean"]["difference"] == pytest.approx(means[0] - means[1])
    [turned] = figures_of({"mixed": mixed, "good": good})["pairs"]
    assert turned["mean"]["difference"] == pytest.approx(-pair["mean"]["difference"])
    assert (turned["lower"], turned["higher"]) == (["three"], ["one"])


def test_several_trainings_count_in_intervals_and_support():
    def runs(shift):
        return [scored(shift_spoof=shift, seed=s, noise=0.1) for s in (1, 2, 3)]

    figures = figures_of({"a": {CLEAN: runs(0), "far": runs(2.0), "near": runs(0.02)}})
    of = figures["conditions"]["a"]
    assert of["far"]["change"]["supported"]
    assert of["far"]["change"]["p_holm"] <= 0.05
    assert not of["near"]["change"]["supported"]


def test_the_example_is_the_trial_that_turned_furthest(rows, conditions, tmp_path):
    planning.write_plan(planning.plan(rows, conditions, 1), tmp_path / "plan.parquet")
    plan = {(r.utterance, r.condition): r for r in planning.read_plan(tmp_path / "plan.parquet")}
    spoof = (rows["label"] == "spoof").to_numpy()
    before = rows.rename(columns={"utterance": "trial"}).assign(score=np.where(spoof, -1.0, 1.0))
    score = before["score"].to_numpy().copy()
    # The first bona fide trial falls furthest, the first spoofed one rises and passes as well.
    score[np.flatnonzero(~spoof)[0]] = -4.0
    score[np.flatnonzero(spoof)[0]] = 2.0
    after = before.assign(score=score)
    of = {CLEAN: [before], "white_snr10": [after], "unplanned": [after]}
    case = evaluate_robust._example("a", of, "white_snr10", plan)
    assert case["utterance"] == rows["utterance"][np.flatnonzero(~spoof)[0]]
    assert (case["label"], case["clean_score"], case["score"]) == ("bonafide", 1.0, -4.0)
    heard = soundfile.read(io.BytesIO(case["distorted"]), dtype="float32")[0]
    assert np.array_equal(heard, render(plan[case["utterance"], "white_snr10"]))
    assert evaluate_robust._example("a", of, "unplanned", plan)["distorted"] == b""


def test_the_figures_show_every_condition_and_curve():
    systems = {
        name: {CLEAN: [scored()], "loud": [scored(0, s)], "louder": [scored(0, 2 * s)]}
        for name, s in (("a", 0.3), ("b", 0.6))
    }
    details = {"eval": figures_of(systems)}
    drawn = heat.drawing(details)
    assert len(drawn.panels) == 1
    assert len(drawn.table) == 6
    assert drawn.whole().axes
    preset = SimpleNamespace(robustness=section())
    rates = degradation.table(details, preset)
    assert rates["strength"].tolist() == [6.0, 12.0] * 2
    grid = SimpleNamespace(system=["a", "b"], posttrained=["b"], borrowing=[], foundation=["a"])
    curves = degradation.drawing(rates, grid)
    assert list(curves.panels) == ["EER on eval by dB of level"]
    assert curves.whole().axes
    nothing = heat.drawing({})
    assert not nothing.panels
    assert not degradation.drawing(degradation.table({}, preset), grid).panels


def test_the_preset_has_ready_conditions_of_the_demos_systems(monkeypatch):
    monkeypatch.chdir(ROOT)
    preset, demo = read_preset("robustness"), read_preset("demo")
    ready = read_conditions(READY)
    assert len(preset.robustness.conditions) >= 30
    for name, condition in preset.robustness.conditions.items():
        assert condition == ready[name], name
    assert preset.robustness.systems == demo.grid.system
    assert preset.grid == demo.grid
    assert preset.finetune == demo.finetune


def test_a_preset_adopts_the_sections_of_the_one_it_hears(tmp_path):
    (tmp_path / "presets").mkdir()
    for name in ("demo", "robustness", "smoke"):
        text = (ROOT / "presets" / f"{name}.yaml").read_text()
        (tmp_path / "presets" / f"{name}.yaml").write_text(text)
    path = tmp_path / "presets" / "robustness.yaml"
    values = yaml.safe_load(path.read_text())

    def refused(message, **changes):
        path.write_text(yaml.safe_dump({**values, **changes}))
        with pytest.raises(MixframeError, match=message):
            read_preset("robustness", tmp_path)

    refused("seed: stands in .*demo.yaml, alone", seed=2)
    refused("the systems of smoke have 'smoke'", trained="smoke")
    section = values["robustness"]
    refused("the grid has no 'eval_new'", robustness={**section, "sets": ["eval_new"]})
    refused("the grid has no 'nobody'", robustness={**section, "systems": ["nobody"]})
    chained = {**values, "trained": "robustness"}
    (tmp_path / "presets" / "more.yaml").write_text(yaml.safe_dump({**values, "trained": "middle"}))
    (tmp_path / "presets" / "middle.yaml").write_text(yaml.safe_dump(chained))
    with pytest.raises(MixframeError, match="trained = 'middle': that preset trains nothing"):
        read_preset("more", tmp_path)
