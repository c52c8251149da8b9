"""Stage evaluate: figures by hand, thinned curves that stay on the curve, frame-level figures."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from mixframe import metrics, tables
from mixframe.errors import MixframeError
from mixframe.params import Bootstrap, Costs, Evaluate
from mixframe.stages.evaluate import DET_POINTS, det_curve, frame_figures, set_figures

PARAMS = Evaluate(
    costs=Costs(p_spoof=0.05, c_miss=1.0, c_fa=10.0),
    bootstrap=Bootstrap(resamples=50, level=0.95, unit="prompt"),
    segment_iou=0.5,
)


def trials(n=60, seed=0):
    rng = np.random.default_rng(seed)
    label = np.where(np.arange(2 * n) % 2, "bonafide", "spoof")
    attack = np.where(label == "spoof", np.where(np.arange(2 * n) % 4, "A1", "A2"), "-")
    return pd.DataFrame(
        {
            "trial": [f"t{i}" for i in range(2 * n)],
            "score": rng.standard_normal(2 * n) + 2.0 * (label == "bonafide"),
            "label": label,
            "attack": attack,
            "prompt": [f"p{i // 4}" for i in range(2 * n)],
        }
    )


def test_figures_of_a_set_are_those_of_its_trials():
    table = trials()
    figures = set_figures([table], PARAMS, seed=1)
    score = table["score"].to_numpy()
    bonafide, spoof = (score[table["label"] == x] for x in ("bonafide", "spoof"))
    assert figures["eer"] == metrics.eer(bonafide, spoof)
    assert (figures["n_bonafide"], figures["n_spoof"]) == (60, 60)
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    assert set(figures["by_attack"]) == {"A1", "A2"}
    for attack, entry in figures["by_attack"].items():
        mine = score[table["attack"] == attack]
        assert entry["eer"] == metrics.eer(bonafide, mine)
        assert entry["n_spoof"] == len(mine)
    assert figures == set_figures([table], PARAMS, seed=1)
    assert figures["eer_low"] != set_figures([table], PARAMS, seed=2)["eer_low"]


def test_figures_of_several_seeds_are_means_with_their_own_interval():
    runs = [trials(seed=0), trials(seed=1)]
    figures = set_figures(runs, PARAMS, seed=1)
    eers = [set_figures([run], PARAMS, seed=1)["eer"] for run in runs]
    assert figures["eer_by_seed"] == eers
    assert figures["eer"] == pytest.approx(np.mean(eers))
    assert figures["eer_std"] == pytest.approx(np.std(eers, ddof=1))
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    assert (figures["n_bonafide"], figures["n_spoof"]) == (60, 60)
    assert "eer_std" not in set_figures(runs[:1], PARAMS, seed=1)
    same = set_figures([runs[0], runs[0]], PARAMS, seed=1)
    assert same["eer_low"] == set_figures(runs[:1], PARAMS, seed=1)["eer_low"]


def test_resampling_is_by_the_unit_of_the_preset():
    table = trials()
    by_trial = PARAMS.model_copy(
        update={"bootstrap": Bootstrap(resamples=50, level=0.95, unit="trial")}
    )
    assert (
        set_figures([table], PARAMS, 1)["eer_low"] != set_figures([table], by_trial, 1)["eer_low"]
    )
    with pytest.raises(MixframeError, match="expected at least 2"):
        set_figures([table.assign(prompt="the only one")], PARAMS, 1)


@pytest.mark.parametrize("n", [3, 40, 5000])
def test_a_thinned_curve_is_a_part_of_the_whole_one(n):
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.standard_normal(n) + 1, rng.standard_normal(n)
    curve = det_curve(bonafide, spoof)
    assert len(curve) <= DET_POINTS
    det = metrics.det_points(bonafide, spoof)
    whole = set(zip(det.p_fa, det.p_miss, strict=True))
    assert set(zip(curve["p_fa"], curve["p_miss"], strict=True)) <= whole
    assert np.allclose(curve["x"], ndtri(curve["p_fa"]))
    assert np.isfinite(curve.to_numpy()).all()


def test_separated_classes_have_no_curve_to_draw():
    assert det_curve(np.array([2.0, 3.0]), np.array([0.0, 1.0])).empty


def test_frame_figures_by_hand():
    frames = pd.DataFrame(
        {
            "labels": [np.array([0, 1, 1, 0]), np.array([0, 0, 0, 0])],
            "scores": [np.array([1.0, -1.0, -1.0, 1.0]), np.array([1.0, -1.0, 1.0, 1.0])],
        }
    )
    figures = frame_figures(frames, threshold=0.0, min_iou=0.5)
    assert figures["frame_precision"] == pytest.approx(2 / 3)
    assert figures["frame_recall"] == 1
    assert figures["segment_precision"] == pytest.approx(1 / 2)
    assert figures["segment_recall"] == 1
    assert figures["clean_false_alarm"] == pytest.approx(1 / 4)


def test_the_table_prints_percent_with_intervals():
    entry = {
        "trainable_parameters": 1234,
        "total_parameters": 5678,
        "sets": {"eval": {"eer": 0.0231, "eer_low": 0.0152, "eer_high": 0.032}},
        "frames": {"heldout": {"frame_eer": 0.25}},
    }
    text = tables.markdown({"sets": ["eval"], "systems": {"mfpt": entry}})
    assert "| mfpt " in text
    assert "2.31 [1.52, 3.20]" in text
    assert "25.00" in text
    assert "1,234 / 5,678" in text
    assert len({len(line) for line in text.splitlines()}) == 1
