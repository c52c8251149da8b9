"""Figures of a set of trials: pooled, by condition, of several runs, and between systems."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
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
    systems = {f"s{i}": [trials(seed=0, separation=2.0 + 0.001 * i)] for i in range(9)}
    systems["bad"] = [trials(seed=9, separation=0.0)]
    figures = evaluation.differences(systems, BY_PROMPT)
    assert len(figures) == 45
    assert figures.loc[figures["second"] == "bad", "supported"].all()
    assert not figures.loc[figures["second"] != "bad", "supported"].any()
    assert (figures["p_holm"] >= figures["p_value"]).all()
    assert evaluation.differences({"a": [trials()]}, BY_PROMPT).empty


def test_holm_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni(values):
    for p, corrected in zip(values, holm(values), strict=True):
        assert p <= corrected <= min(1.0, len(values) * max(values))
    assert min(holm(values)) == min(1.0, len(values) * min(values))
