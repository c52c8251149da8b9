"""Figures of a set of trials: pooled, by condition, of several runs, and between systems."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics import detection, evaluation
from mixframe.metrics.bootstrap import holm, resample
from mixframe.metrics.calibration import Affine
from mixframe.metrics.registry import EER

COSTS = detection.DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)
BY_PROMPT = evaluation.Settings(COSTS, "prompt", resamples=50, level=0.95, seed=1)
BY_TRIAL = evaluation.Settings(COSTS, "trial", resamples=50, level=0.95, seed=1)


def trials(n=60, seed=0, separation=2.0):
    rng = np.random.default_rng(seed)
    label = np.where(np.arange(2 * n) % 2, "bonafide", "spoof")
    attack = np.where(label == "spoof", np.where(np.arange(2 * n) % 4, "A1", "A2"), "-")
    return pd.DataFrame(
        {
            "trial": [f"t{i}" for i in range(2 * n)],
            "score": rng.standard_normal(2 * n) + separation * (label == "bonafide"),
            "label": label,
            "attack": attack,
            "codec": np.where(np.arange(2 * n) < n, "alaw", "none"),
            "prompt": [f"p{i // 4}" for i in range(2 * n)],
        }
    )


def classes(table):
    return tuple(table.loc[table["label"] == x, "score"].to_numpy() for x in ("bonafide", "spoof"))


def test_pooled_figures_are_those_of_the_trials():
    table = trials()
    figures = evaluation.pooled([table], BY_PROMPT)
    assert figures["eer"] == detection.eer(*classes(table))
    assert (figures["n_bonafide"], figures["n_spoof"]) == (60, 60)
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    assert figures == evaluation.pooled([table], BY_PROMPT)
    shuffled = evaluation.pooled([table.sample(frac=1, random_state=0)], BY_PROMPT)
    assert shuffled.pop("cllr") == pytest.approx(figures.pop("cllr"), abs=1e-12)
    assert shuffled == figures
    assert figures["eer_low"] != evaluation.pooled([table], BY_TRIAL)["eer_low"]
    with pytest.raises(MixframeError, match="expected at least 2"):
        evaluation.pooled([table.assign(prompt="the only one")], BY_PROMPT)


def test_several_runs_are_means_with_the_interval_of_the_mean():
    runs = [trials(seed=0), trials(seed=1)]
    figures = evaluation.pooled(runs, BY_PROMPT)
    eers = [evaluation.pooled([run], BY_PROMPT)["eer"] for run in runs]
    assert figures["eer_by_seed"] == eers
    assert figures["eer"] == pytest.approx(np.mean(eers))
    assert figures["eer_std"] == pytest.approx(np.std(eers, ddof=1))
    assert "eer_std" not in evaluation.pooled(runs[:1], BY_PROMPT)
    same = evaluation.pooled([runs[0], runs[0]], BY_PROMPT)
    assert same["eer_low"] == evaluation.pooled(runs[:1], BY_PROMPT)["eer_low"]


def test_an_attack_stands_against_all_bona_fide_trials_and_a_codec_against_its_own():
    table = trials()
    bonafide, _ = classes(table)
    by_attack = evaluation.by_condition([table], "attack", BY_PROMPT)
    assert list(by_attack) == ["A1", "A2"]
    for attack, entry in by_attack.items():
        mine = table.loc[table["attack"] == attack, "score"]
        assert entry["eer"] == detection.eer(bonafide, mine)
        assert entry["min_dcf"] == detection.min_dcf(bonafide, mine, COSTS)
        assert entry["eer_low"] <= entry["eer_high"]
        assert (entry["n_bonafide"], entry["n_spoof"]) == (60, len(mine))
    by_codec = evaluation.by_condition([table], "codec", BY_TRIAL)
    assert list(by_codec) == ["alaw", "none"]
    for codec, entry in by_codec.items():
        assert entry["eer"] == detection.eer(*classes(table[table["codec"] == codec]))
        assert (entry["n_bonafide"], entry["n_spoof"]) == (30, 30)


def test_a_condition_of_one_class_or_one_speaker_has_no_rate_or_no_interval():
    table = trials()
    table.loc[table["label"] == "spoof", "codec"] = "none"
    table.loc[table["codec"] == "none", "prompt"] = "one"
    figures = evaluation.by_condition([table], "codec", BY_PROMPT)
    assert (figures["alaw"]["eer"], figures["alaw"]["n_bonafide"], figures["alaw"]["n_spoof"]) == (
        None,
        30,
        0,
    )
    assert figures["none"]["eer"] is not None
    assert figures["none"]["eer_low"] is None


def test_the_unit_is_the_speaker_where_every_trial_has_one():
    table = trials()
    assert evaluation.unit_of(table) == "trial"
    assert evaluation.unit_of(table.assign(speaker=table["prompt"])) == "speaker"
    assert evaluation.unit_of(table.assign(speaker="one")) == "trial"
    names = table["prompt"].where(table["label"] == "spoof", "-")
    assert evaluation.unit_of(table.assign(speaker=names)) == "trial"


def test_calibrated_figures_are_those_of_the_mapped_scores():
    runs = [trials(seed=0), trials(seed=1)]
    fitted = [Affine(2.0, -1.0), Affine(0.5, 0.25)]
    figures = evaluation.calibrated(runs, fitted, COSTS)
    assert figures is not None
    mapped = [[a(s) for s in classes(run)] for run, a in zip(runs, fitted, strict=True)]
    assert figures["cllr"] == pytest.approx(np.mean([detection.cllr(*m) for m in mapped]))
    assert figures["act_dcf"] == pytest.approx(
        np.mean([detection.act_dcf(*m, COSTS) for m in mapped])
    )
    assert (figures["slope"], figures["offset"]) == ([2.0, 0.5], [-1.0, 0.25])
    assert evaluation.calibrated(runs, [fitted[0], None], COSTS) is None


def test_pairwise_differences_are_the_paired_ones():
    tables = {"a": trials(seed=0), "b": trials(seed=1), "c": trials(seed=2, separation=0.2)}
    systems = {name: [classes(table)] for name, table in tables.items()}
    values = resample(systems, [EER], BY_TRIAL)
    assert list(values) == ["a", "b", "c"]
    pairs = evaluation.differences({name: [table] for name, table in tables.items()}, BY_TRIAL)
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    for pair in pairs.itertuples():
        rates = [detection.eer(*classes(tables[name])) for name in (pair.first, pair.second)]
        assert pair.difference == rates[0] - rates[1]
    alone = resample({name: systems[name] for name in ("a", "b")}, [EER], BY_TRIAL)
    for name, figures in alone.items():
        assert (figures["eer"] == values[name]["eer"]).all()
    with pytest.raises(MixframeError, match="b, spoof: 2 scores, but 1 in the first run"):
        resample({"a": [([1.0], [0.0])], "b": [([1.0], [0.0, 1.0])]}, [EER], BY_TRIAL)


def test_supported_differences_survive_the_correction_for_many_pairs():
    # Ten systems, 45 pairs: 50 resamples alone could support nothing.
    def runs(separation):
        return [trials(seed=seed, separation=separation) for seed in range(5)]

    systems = {f"s{i}": runs(2.0 + 0.001 * i) for i in range(9)}
    systems["bad"] = runs(0.0)
    figures = evaluation.differences(systems, BY_PROMPT)
    assert len(figures) == 45
    assert figures.loc[figures["second"] == "bad", "supported"].all()
    assert not figures.loc[figures["second"] != "bad", "supported"].any()
    assert ((figures["reason"] == "") == figures["supported"]).all()
    assert (figures["p_holm"] >= figures["p_value"]).all()
    assert (figures["trials_p_holm"] >= figures["trials_p"]).all()
    assert evaluation.differences({"a": [trials()]}, BY_PROMPT).empty


def test_one_training_supports_nothing_but_keeps_the_interval_of_the_trials():
    systems = {"good": [trials(seed=0)], "bad": [trials(seed=1, separation=0.0)]}
    systems["alike"] = [trials(seed=0, separation=2.001)]
    figures = evaluation.differences(systems, BY_PROMPT).set_index(["first", "second"])
    assert not figures["supported"].any()
    assert figures["reason"].to_dict() == {
        ("good", "bad"): evaluation.ONE_TRAINING,
        ("good", "alike"): evaluation.BY_TRIALS,
        ("bad", "alike"): evaluation.ONE_TRAINING,
    }
    both = ["low", "high", "p_value", "p_holm", "sd_trials", "sd_training"]
    assert figures[both].isna().all(axis=None)
    assert figures.loc[("good", "bad"), "trials_high"] < 0
    assert "eer_both_low" not in evaluation.pooled(systems["good"], BY_PROMPT)


def test_a_difference_that_trainings_turn_round_is_not_supported():
    """On these trials the first is better on average, but one training decides that."""
    same = [trials(seed=seed, separation=1.5) for seed in range(3)]
    lucky = [same[0], same[1], trials(seed=2, separation=6.0)]
    figures = evaluation.differences({"lucky": lucky, "plain": same}, BY_PROMPT).iloc[0]
    assert figures["trials_p_holm"] <= 0.05 < figures["p_holm"]
    assert (figures["supported"], figures["reason"]) == (False, evaluation.BY_TRAININGS)
    assert figures["low"] < figures["trials_low"] <= figures["trials_high"] < figures["high"]


@given(seed=st.integers(0, 1000), n=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_identical_systems_are_never_supported(seed, n):
    runs = [trials(seed=seed + k, separation=1.0 + k) for k in range(n)]
    few = replace(BY_PROMPT, resamples=20)
    figures = evaluation.differences({"a": runs, "b": runs}, few).iloc[0]
    assert figures["difference"] == 0
    assert not figures["supported"]


@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_the_order_of_systems_and_rows_changes_no_verdict(seed):
    systems = {
        name: [trials(30, seed=seed + 10 * i + k, separation=3.0 * i) for k in range(3)]
        for i, name in enumerate(("a", "b", "c"))
    }
    few = replace(BY_PROMPT, resamples=20)
    figures = evaluation.differences(systems, few)
    pd.testing.assert_frame_equal(figures, evaluation.differences(systems, few))
    order = np.random.default_rng(seed).permutation(60)
    moved = {name: [run.iloc[order] for run in runs] for name, runs in systems.items()}
    pd.testing.assert_frame_equal(figures, evaluation.differences(moved, few))
    turned = evaluation.differences(dict(reversed(systems.items())), few)
    ends = {"trials_low": "trials_high", "low": "high"}
    for row in figures.to_dict("records"):
        other = turned[(turned["first"] == row["second"]) & (turned["second"] == row["first"])]
        other = other.iloc[0]
        assert (other["supported"], other["reason"]) == (row["supported"], row["reason"])
        assert other["difference"] == -row["difference"]
        for low, high in ends.items():
            assert other[low] == pytest.approx(-row[high])
            assert other[high] == pytest.approx(-row[low])


def test_several_trainings_widen_the_interval_by_their_spread():
    alike = [trials(seed=0), trials(seed=0, separation=2.001)]
    apart = [trials(seed=0, separation=1.2), trials(seed=0, separation=3.0)]
    first, second = (evaluation.pooled(runs, BY_PROMPT) for runs in (alike, apart))
    for figures in (first, second):
        assert 0 <= figures["eer_both_low"] <= figures["eer"] <= figures["eer_both_high"] <= 1
    assert second["eer_sd_training"] > first["eer_sd_training"]
    assert second["eer_sd_training"] == pytest.approx(second["eer_std"] / 2**0.5)
    assert evaluation.brief(second)["eer_sd_trials"] == second["eer_sd_trials"]


def test_known_and_unknown_attacks_stand_against_all_bona_fide_trials():
    table = trials()
    bonafide, spoof = classes(table)
    figures = evaluation.by_novelty([table], {"A1", "A9"}, BY_PROMPT)
    by_attack = evaluation.by_condition([table], "attack", BY_PROMPT)
    assert figures == {"known": by_attack["A1"], "unknown": by_attack["A2"]}
    all_known = evaluation.by_novelty([table, table], {"A1", "A2"}, BY_PROMPT)
    assert all_known["known"]["eer"] == detection.eer(bonafide, spoof)
    assert all_known["known"]["eer_both_low"] < all_known["known"]["eer"]
    assert (all_known["unknown"]["eer"], all_known["unknown"]["n_spoof"]) == (None, 0)


def test_holm_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni(values):
    for p, corrected in zip(values, holm(values), strict=True):
        assert p <= corrected <= min(1.0, len(values) * max(values))
    assert min(holm(values)) == min(1.0, len(values) * min(values))
