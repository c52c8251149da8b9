"""Stage evaluate: thinned curves that stay on the curve, frame-level figures, result tables."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from mixframe.metrics import detection, tables
from mixframe.stages.evaluate import DET_POINTS, det_curve
from mixframe.stages.evaluate_frames import frame_figures


@pytest.mark.parametrize("n", [3, 40, 5000])
def test_a_thinned_curve_is_a_part_of_the_whole_one(n):
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.standard_normal(n) + 1, rng.standard_normal(n)
    curve = det_curve(bonafide, spoof)
    assert len(curve) <= DET_POINTS
    det = detection.det_points(bonafide, spoof)
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
    assert figures["clean_utterance_alarm"] == 1


def test_without_clean_utterances_there_is_no_false_alarm_on_them():
    frames = pd.DataFrame({"labels": [np.array([0, 1])], "scores": [np.array([1.0, -1.0])]})
    figures = frame_figures(frames, threshold=0.0, min_iou=0.5)
    assert figures["clean_false_alarm"] is None
    assert figures["clean_utterance_alarm"] is None


def test_the_table_prints_percent_with_intervals():
    entry = {
        "trainable_parameters": 1234,
        "total_parameters": 5678,
        "sets": {
            "eval": {
                "eer": 0.0231,
                "eer_low": 0.0152,
                "eer_high": 0.032,
                "known": {"eer": 0.01, "eer_low": None, "eer_high": None},
                "unknown": {"eer": None, "eer_low": None, "eer_high": None},
            }
        },
        "frames": {"heldout": {"frame_eer": 0.25}},
    }
    text = tables.markdown({"sets": ["eval"], "systems": {"mfpt": entry}, "seeds": [1]})
    assert "| mfpt " in text
    assert "2.31 [1.52, 3.20]" in text
    assert "25.00" in text
    assert "1,234 / 5,678" in text
    blocks = text.split("\n\n")
    assert len({len(line) for line in blocks[0].splitlines()}) == 1
    assert blocks[1].startswith("One seed: the intervals are of the trials only")
    assert [cell.strip() for cell in blocks[2].splitlines()[2].split("|")[1:-1]] == [
        "mfpt",
        "1.00",
        "",
    ]


def test_of_several_seeds_the_table_has_the_interval_of_both_and_what_each_is():
    figures = {"eer": 0.05, "eer_low": 0.04, "eer_high": 0.06, "eer_std": 0.01}
    figures |= {"eer_both_low": 0.02, "eer_both_high": 0.08}
    figures |= {"eer_sd_trials": 0.004, "eer_sd_training": 0.0123}
    entry = {
        "trainable_parameters": 1,
        "total_parameters": 2,
        "sets": {"eval": {**figures, "known": figures, "unknown": figures}},
        "frames": {},
    }
    text = tables.markdown({"sets": ["eval"], "systems": {"mfpt": entry}, "seeds": [1, 2, 3]})
    blocks = text.split("\n\n")
    assert "5.00 ± 1.00 [2.00, 8.00]" in blocks[0]
    assert blocks[1].startswith("3 seeds: mean")
    assert blocks[2].count("5.00 [2.00, 8.00]") == 2
    assert "0.40 / 1.23" in blocks[3]


def test_the_latex_table_escapes_and_marks_the_lowest():
    def entry(eer, **more):
        figures = {"eer": eer, "eer_low": eer - 0.01, "eer_high": eer + 0.01, **more}
        figures |= {"known": figures, "unknown": figures}
        figures |= {"eer_sd_trials": 0.001, "eer_sd_training": 0.002}
        return {
            "trainable_parameters": 1,
            "total_parameters": 2,
            "sets": {"eval_seen": figures},
            "frames": {},
        }

    systems = {"mfpt": entry(0.02), "utterance_ft": entry(0.05, eer_std=0.004)}
    summary = {"sets": ["eval_seen"], "systems": systems, "seeds": [1, 2]}
    lines = tables.latex(summary).splitlines()
    assert lines[1] == r"\begin{tabular}{lrrr}"
    assert lines[3] == r"  system & eval\_seen & frame EER & trained / all parameters \\"
    assert lines[5] == r"  mfpt & \textbf{2.00} {\scriptsize [1.00, 3.00]} &  & 1 / 2 \\"
    assert lines[6] == (
        r"  utterance\_ft & 5.00 $\pm$ 0.40 {\scriptsize [4.00, 6.00]} &  & 1 / 2 \\"
    )
