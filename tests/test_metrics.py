"""Metrics against hand-worked cases, closed forms and a plain reading of the definitions."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from mixframe.base.errors import MixframeError
from mixframe.metrics import registry
from mixframe.metrics.detection import (
    DcfCosts,
    Sample,
    TdcfCosts,
    act_dcf,
    cllr,
    det_points,
    eer,
    eer_official_sort,
    eer_rocch,
    eer_threshold,
    min_dcf,
    min_tdcf,
)
from mixframe.metrics.segments import matched_segments, segment_f1, segments

COSTS = DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10)
TDCF = TdcfCosts(
    p_spoof=0.05, p_tar=0.95 * 0.99, p_non=0.95 * 0.01, c_miss=1, c_fa=10, c_fa_spoof=10
)
ASV = [1, 1.5, 3, 4], [0, 1.5, 2, 2.5], [0, 1.5, 2, 3]

# Few distinct values, so that ties within and across the classes are the rule.
TIED = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)


def point_metrics(bonafide, spoof, costs):
    return registry.point_metrics(Sample(bonafide, spoof), costs)


def official_points(bonafide, spoof):
    """The official DET points: one after every score of a stable ascending sort."""
    trials = sorted(
        [(s, 1) for s in bonafide] + [(s, 0) for s in spoof], key=lambda trial: trial[0]
    )
    points, n_miss, n_above = [(0.0, 1.0)], 0, len(spoof)
    for _, is_bonafide in trials:
        n_miss += is_bonafide
        n_above -= 1 - is_bonafide
        points.append((n_miss / len(bonafide), n_above / len(spoof)))
    return points


def official_eer(bonafide, spoof):
    p_miss, p_fa = min(official_points(bonafide, spoof), key=lambda p: abs(p[0] - p[1]))
    return (p_miss + p_fa) / 2


def official_min_dcf(bonafide, spoof, costs):
    weights = costs.c_miss * (1 - costs.p_spoof), costs.c_fa * costs.p_spoof
    lowest = min(weights[0] * p[0] + weights[1] * p[1] for p in official_points(bonafide, spoof))
    return lowest / min(weights)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    m=st.integers(1, 120),
    shift=st.floats(-3, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_continuous_scores_equal_the_official_definition(n, m, shift, seed):
    rng = np.random.default_rng(seed)
    bonafide, spoof = rng.normal(shift, 1, n), rng.normal(0, 1, m)
    assert eer(bonafide, spoof) == pytest.approx(official_eer(bonafide, spoof), abs=1e-12)
    assert eer_official_sort(bonafide, spoof) == eer(bonafide, spoof)
    assert min_dcf(bonafide, spoof, COSTS) == pytest.approx(
        official_min_dcf(bonafide, spoof, COSTS), abs=1e-12
    )


def official_act_dcf(bonafide, spoof, costs):
    beta = costs.c_miss * (1 - costs.p_spoof) / (costs.c_fa * costs.p_spoof)
    threshold = -math.log(beta)
    miss = sum(s < threshold for s in bonafide) / len(bonafide)
    fa = sum(s >= threshold for s in spoof) / len(spoof)
    weights = costs.c_miss * (1 - costs.p_spoof), costs.c_fa * costs.p_spoof
    return (weights[0] * miss + weights[1] * fa) / min(weights)


def official_cllr(bonafide, spoof):
    first = sum(math.log2(1 + math.exp(-s)) for s in bonafide) / len(bonafide)
    second = sum(math.log2(1 + math.exp(s)) for s in spoof) / len(spoof)
    return (first + second) / 2


def official_min_tdcf(bonafide, spoof, target, nontarget, asv_spoof, costs):
    trials = sorted([(s, 1) for s in target] + [(s, 0) for s in nontarget])
    points = official_points(target, nontarget)
    best = min(range(len(points)), key=lambda k: abs(points[k][0] - points[k][1]))
    threshold = trials[best - 1][0] if best else -math.inf
    miss_asv = sum(s < threshold for s in target) / len(target)
    fa_asv = sum(s >= threshold for s in nontarget) / len(nontarget)
    fa_spoof = sum(s >= threshold for s in asv_spoof) / len(asv_spoof)
    c0 = costs.p_tar * costs.c_miss * miss_asv + costs.p_non * costs.c_fa * fa_asv
    c1 = costs.p_tar * costs.c_miss - c0
    c2 = costs.p_spoof * costs.c_fa_spoof * fa_spoof
    lowest = min(c0 + c1 * p[0] + c2 * p[1] for p in official_points(bonafide, spoof))
    return lowest / (c0 + min(c1, c2))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 80), m=st.integers(1, 80), shift=st.floats(-3, 8), seed=st.integers(0, 2**32)
)
def test_calibrated_and_tandem_costs_equal_the_official_definition(n, m, shift, seed):
    rng = np.random.default_rng(seed)
    bonafide, spoof = rng.normal(shift, 2, n), rng.normal(0, 2, m)
    asv = rng.normal(3, 1, 40), rng.normal(0, 1, 50), rng.normal(1, 1, 30)
    assert act_dcf(bonafide, spoof, COSTS) == pytest.approx(
        official_act_dcf(bonafide, spoof, COSTS), abs=1e-12
    )
    assert cllr(bonafide, spoof) == pytest.approx(official_cllr(bonafide, spoof), abs=1e-12)
    assert min_tdcf(bonafide, spoof, *asv, TDCF) == pytest.approx(
        official_min_tdcf(bonafide, spoof, *asv, TDCF), abs=1e-12
    )


@given(bonafide=TIED, spoof=TIED)
def test_official_sort_of_ties_puts_bonafide_first(bonafide, spoof):
    assert eer_official_sort(bonafide, spoof) == official_eer(bonafide, spoof)


@settings(deadline=None)
@given(bonafide=TIED, spoof=TIED, data=st.data())
def test_ties_do_not_depend_on_row_order(bonafide, spoof, data):
    shuffled = point_metrics(
        data.draw(st.permutations(bonafide)), data.draw(st.permutations(spoof)), COSTS
    )
    given_order = point_metrics(bonafide, spoof, COSTS)
    # Means of Cllr add in row order; everything else is counts.
    assert shuffled.pop("cllr") == pytest.approx(given_order.pop("cllr"), abs=1e-12)
    assert shuffled == given_order


@given(bonafide=TIED, spoof=TIED)
def test_points_are_the_rates_at_each_distinct_threshold(bonafide, spoof):
    det = det_points(bonafide, spoof)
    assert det.thresholds[1:].tolist() == sorted(set(bonafide + spoof))
    for threshold, p_miss, p_fa in zip(*det, strict=True):
        assert p_miss == sum(s <= threshold for s in bonafide) / len(bonafide)
        assert p_fa == sum(s > threshold for s in spoof) / len(spoof)


def test_gaussian_scores_approach_the_closed_form():
    rng = np.random.default_rng(5)
    n, separation = 200_000, 2.0
    bonafide, spoof = rng.normal(separation, 1, n), rng.normal(0, 1, n)
    rate = NormalDist().cdf(-separation / 2)
    # P_miss and P_fa at the crossing each have variance rate (1 - rate) / n; their mean, half.
    error = np.sqrt(rate * (1 - rate) / (2 * n))
    assert eer(bonafide, spoof) == pytest.approx(rate, abs=4 * error)
    assert eer_rocch(bonafide, spoof) == pytest.approx(rate, abs=4 * error)
    assert eer_threshold(bonafide, spoof) == pytest.approx(separation / 2, abs=0.02)


def test_det_worked_by_hand():
    # Ascending: 0 s, 1 b and s, 2 b, 3 b and b.
    det = det_points([1, 2, 3, 3], [0, 1])
    assert det.thresholds.tolist() == [np.nextafter(0, -1), 0, 1, 2, 3]
    assert det.p_miss.tolist() == [0, 0, 0.25, 0.5, 1]
    assert det.p_fa.tolist() == [1, 0.5, 0, 0, 0]


def test_eer_worked_by_hand():
    # |P_miss - P_fa| of the points above: 1, 0.5, 0.25, 0.5, 1; at 1 the mean is 0.125.
    assert eer([1, 2, 3, 3], [0, 1]) == 0.125
    assert eer_threshold([1, 2, 3, 3], [0, 1]) == 1
    # Hull corners (P_miss, P_fa) (0, 0.5), (0.25, 0), then (1, 0): crosses at 1/6.
    assert eer_rocch([1, 2, 3, 3], [0, 1]) == pytest.approx(1 / 6, abs=1e-15)


def test_eer_takes_the_lowest_of_equally_near_points():
    # Points (0, 1), (0.5, 1), (0.5, 0), (1, 0): the second and the third are equally near.
    assert eer([0, 2], [1]) == 0.75
    assert eer_threshold([0, 2], [1]) == 0


@pytest.mark.parametrize("value", [-7.5, 0.0, 1e300])
def test_constant_scores_give_one_half(value):
    bonafide, spoof = [value] * 3, [value] * 5
    assert eer(bonafide, spoof) == 0.5
    assert eer_rocch(bonafide, spoof) == 0.5
    assert min_dcf(bonafide, spoof, COSTS) == 1.0
    assert eer_threshold(bonafide, spoof) < value
    assert eer_official_sort(bonafide, spoof) == 1.0


def test_separated_and_swapped_classes():
    assert eer([1, 2], [-1, 0]) == 0
    assert eer_rocch([1, 2], [-1, 0]) == 0
    assert eer([-1, 0], [1, 2]) == 1
    assert eer_rocch([-1, 0], [1, 2]) == 0.5


@settings(max_examples=100, deadline=None)
@given(bonafide=TIED, spoof=TIED)
def test_rocch_is_the_worst_prior_of_the_best_threshold(bonafide, spoof):
    # The hull EER is max over w of min over points of w P_miss + (1 - w) P_fa; that function of w
    # is concave and piecewise linear, with its maximum where two points cost the same.
    det = det_points(bonafide, spoof)
    gap = det.p_miss - det.p_fa
    # w with w P_miss_i + (1 - w) P_fa_i equal for i and j; also the ends of [0, 1].
    with np.errstate(divide="ignore", invalid="ignore"):
        fa = det.p_fa
        crossings = (fa[None, :] - fa[:, None]) / (gap[:, None] - gap[None, :])
    weights = [0, 1, *crossings[np.isfinite(crossings) & (crossings > 0) & (crossings < 1)]]
    expected = max((w * det.p_miss + (1 - w) * det.p_fa).min() for w in weights)
    assert eer_rocch(bonafide, spoof) == pytest.approx(expected, abs=1e-12)


def test_min_dcf_worked_by_hand():
    # Weights 0.95 and 0.5, normaliser 0.5. Costs of the points: 0.5, 0.25, 0.2375, 0.475, 0.95.
    assert min_dcf([1, 2, 3, 3], [0, 1], COSTS) == pytest.approx(0.2375 / 0.5, abs=1e-15)


def test_act_dcf_worked_by_hand():
    # beta = 1.9, threshold -0.6419: one of four bona fide below, one of two spoof above.
    assert act_dcf([-1, 0, 1, 2], [-2, -0.6], COSTS) == pytest.approx(
        (0.95 * 0.25 + 0.5 * 0.5) / 0.5, abs=1e-15
    )
    even = DcfCosts(p_spoof=0.5, c_miss=1, c_fa=1)
    # beta = 1: a score equal to the threshold 0 is accepted.
    assert act_dcf([0.0], [0.0], even) == 1.0
    assert act_dcf([0.0], [-1.0], even) == 0.0


@given(bonafide=TIED, spoof=TIED)
def test_act_dcf_is_never_below_min_dcf(bonafide, spoof):
    assert act_dcf(bonafide, spoof, COSTS) >= min_dcf(bonafide, spoof, COSTS) - 1e-12


def test_cllr_worked_by_hand():
    assert cllr([0, 0], [0]) == pytest.approx(1, abs=1e-15)
    # log2(1 + 1/3) over bona fide, log2(1 + 1) over spoof.
    assert cllr([np.log(3)], [0]) == pytest.approx((np.log2(4 / 3) + 1) / 2, abs=1e-15)


def test_cllr_of_extreme_scores_is_finite():
    assert cllr([1e4], [-1e4]) == 0
    # log2(1 + e^1e4) = 1e4 / ln 2 to double precision.
    assert cllr([-1e4], [1e4]) == pytest.approx(1e4 / np.log(2), rel=1e-15)
    assert np.isfinite(cllr([-1e100], [1e100]))


def test_min_tdcf_worked_by_hand():
    # ASV: the EER of ASV[0] against ASV[1] is read at 1.5, point (0.5, 0.5). Accepting at or
    # above it misses 1 of 4 targets, accepts 3 of 4 non-targets and 3 of 4 spoofs.
    c0 = 0.9405 * 0.25 + 0.0095 * 10 * 0.75
    c1, c2 = 0.9405 - c0, 0.05 * 10 * 0.75
    # CM points (P_miss, P_fa) as in test_det_worked_by_hand.
    points = [(0, 1), (0, 0.5), (0.25, 0), (0.5, 0), (1, 0)]
    expected = min(c0 + c1 * miss + c2 * fa for miss, fa in points) / (c0 + min(c1, c2))
    value = min_tdcf([1, 2, 3, 3], [0, 1], *ASV, TDCF)
    assert value == pytest.approx(expected, abs=1e-12)


def test_min_tdcf_of_a_useless_and_a_perfect_countermeasure():
    c0 = 0.9405 * 0.25 + 0.0095 * 10 * 0.75
    assert min_tdcf([0], [0], *ASV, TDCF) == pytest.approx(1, abs=1e-12)
    assert min_tdcf([1], [0], *ASV, TDCF) == pytest.approx(c0 / (c0 + 0.375), abs=1e-12)


def test_min_tdcf_refuses_undefined_costs():
    # Non-targets are frequent and dear, and most of them are accepted.
    costs = TdcfCosts(p_spoof=0.05, p_tar=0.05, p_non=0.9, c_miss=1, c_fa=10, c_fa_spoof=10)
    with pytest.raises(MixframeError, match=r"C1 = -\S+, expected 0 or more"):
        min_tdcf([1], [0], *ASV, costs)


def test_point_metrics_are_the_single_functions():
    rng = np.random.default_rng(2)
    b, s = rng.normal(1, 1, 50).round(1), rng.normal(0, 1, 80).round(1)
    assert point_metrics(b, s, COSTS) == {
        "eer": eer(b, s),
        "eer_threshold": eer_threshold(b, s),
        "eer_rocch": eer_rocch(b, s),
        "min_dcf": min_dcf(b, s, COSTS),
        "act_dcf": act_dcf(b, s, COSTS),
        "cllr": cllr(b, s),
        "n_bonafide": 50,
        "n_spoof": 80,
    }


@pytest.mark.parametrize(
    "metric",
    [
        det_points,
        eer,
        eer_threshold,
        eer_rocch,
        eer_official_sort,
        cllr,
        lambda b, s: min_dcf(b, s, COSTS),
        lambda b, s: act_dcf(b, s, COSTS),
        lambda b, s: point_metrics(b, s, COSTS),
        lambda b, s: min_tdcf(b, s, [1], [0], [0], TDCF),
    ],
)
def test_bad_scores_are_refused_by_name(metric):
    with pytest.raises(MixframeError, match="bonafide scores: 0 trials"):
        metric([], [1.0])
    with pytest.raises(MixframeError, match="spoof scores: 0 trials"):
        metric([1.0], [])
    with pytest.raises(
        MixframeError, match="bonafide scores: 1 NaN and 2 infinite among 4, the first at row 1"
    ):
        metric([1.0, np.inf, np.nan, -np.inf], [1.0])
    with pytest.raises(MixframeError, match="spoof scores: 1 NaN and 0 infinite among 1"):
        metric([1.0], [np.nan])
    with pytest.raises(MixframeError, match=r"spoof scores: shape \(1, 1\)"):
        metric([1.0], [[1.0]])


def test_asv_scores_are_refused_by_name():
    with pytest.raises(MixframeError, match="ASV spoof scores: 0 trials"):
        min_tdcf([1], [0], [1], [0], [], TDCF)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"p_spoof": 0, "c_miss": 1, "c_fa": 1}, "p_spoof is 0, expected a number above 0"),
        ({"p_spoof": 1, "c_miss": 1, "c_fa": 1}, "p_spoof is 1, expected below 1"),
        ({"p_spoof": 0.5, "c_miss": float("nan"), "c_fa": 1}, "c_miss is nan"),
        ({"p_spoof": 0.5, "c_miss": 1, "c_fa": -1}, "c_fa is -1"),
    ],
)
def test_bad_costs_are_refused(kwargs, message):
    with pytest.raises(MixframeError, match=message):
        DcfCosts(**kwargs)


def test_tdcf_priors_must_sum_to_one():
    with pytest.raises(MixframeError, match=r"is 1\.05\d*, expected 1"):
        TdcfCosts(p_spoof=0.1, p_tar=0.94, p_non=0.01, c_miss=1, c_fa=10, c_fa_spoof=10)


@given(st.lists(st.booleans(), max_size=30))
def test_segments_rebuild_the_mask(mask):
    rebuilt = np.zeros(len(mask), dtype=bool)
    runs = segments(mask)
    for start, end in runs:
        rebuilt[start:end] = True
    assert rebuilt.tolist() == mask
    assert (runs[1:, 0] > runs[:-1, 1]).all()


@settings(max_examples=200, deadline=None)
@given(
    masks=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40),
    min_iou=st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.75, 1.0]),
)
def test_matching_is_the_largest_possible(masks, min_iou):
    reference, predicted = (segments([m[k] for m in masks]) for k in (0, 1))
    allowed = np.zeros((len(reference), len(predicted)), dtype=bool)
    for i, (a, b) in enumerate(reference):
        for j, (c, d) in enumerate(predicted):
            shared = len(set(range(a, b)) & set(range(c, d)))
            allowed[i, j] = shared / len(set(range(a, b)) | set(range(c, d))) >= min_iou
    expected = 0
    if allowed.size:
        expected = int((maximum_bipartite_matching(csr_array(allowed)) >= 0).sum())
    assert matched_segments(reference, predicted, min_iou) == expected


def bits(text):
    return np.array([c == "1" for c in text])


def test_segment_f1_worked_by_hand():
    labels = [bits("0111100110"), bits("0000"), bits("11")]
    decisions = [bits("0011110100"), bits("0100"), bits("00")]
    result = segment_f1(labels, decisions, min_iou=0.5)
    # Frames: 8 reference, 6 predicted, 3 + 1 in both.
    assert result["frame_precision"] == 4 / 6
    assert result["frame_recall"] == 4 / 8
    assert result["frame_f1"] == 8 / 14
    # IoU of the pairs: 3 of 5 and 1 of 2; one prediction and one reference stay alone.
    assert result["segment_precision"] == 2 / 3
    assert result["segment_recall"] == 2 / 3
    assert result["segment_f1"] == 4 / 6
    assert (result["n_reference_segments"], result["n_predicted_segments"]) == (3, 3)
    assert result["n_frames"] == 16
    assert segment_f1(labels, decisions, min_iou=0.6)["segment_f1"] == 2 / 6
    assert segment_f1(labels, decisions, min_iou=0.61)["segment_f1"] == 0


def test_segment_f1_of_nothing_predicted_is_zero():
    result = segment_f1([bits("01")], [bits("00")], min_iou=0.5)
    assert result["frame_precision"] == result["segment_precision"] == 0
    assert result["frame_f1"] == result["segment_f1"] == 0


@pytest.mark.parametrize(
    ("labels", "decisions", "min_iou", "message"),
    [
        ([bits("1")], [bits("1")], 0.0, "min_iou is 0.0"),
        ([bits("1")], [], 0.5, "labels of 1 utterances, decisions of 0"),
        ([bits("1")], [bits("11")], 0.5, "utterance 0 has 1 labels and 2 decisions"),
        ([bits("1")], [np.array([0.3])], 0.5, "decisions of utterance 0 are float64"),
        ([bits("00")], [bits("11")], 0.5, "0 spoof frames among 2 labels of 1 utterances"),
    ],
)
def test_segment_f1_refuses_by_name(labels, decisions, min_iou, message):
    with pytest.raises(MixframeError, match=message):
        segment_f1(labels, decisions, min_iou)
