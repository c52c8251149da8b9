"""Bootstrap: the same draws as a plain resampling, and the properties an interval must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics.bootstrap import CHUNK, bootstrap, paired_bootstrap
from mixframe.metrics.detection import DcfCosts, eer, min_dcf

COSTS = DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10)


def draw(n=80, m=120, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1.5, 1, n).round(1), rng.normal(0, 1, m).round(1)


def speakers(n=80, m=120, count=10, seed=1):
    rng = np.random.default_rng(seed)
    return (
        np.array([f"spk{k}" for k in rng.integers(0, count, n)]),
        np.array([f"spk{k}" for k in rng.integers(0, count, m)]),
    )


def plain_resamples(systems, seed, resamples, groups=None):
    """Draw the same trials, repeat their scores and sort them anew; (resamples, systems, 2).

    The trials must be in the order of their scores, as the bootstrap puts them.
    """
    values = []
    n_chunks = -(-resamples // CHUNK)
    n_bonafide, n_spoof = systems[0][0].size, systems[0][1].size
    for child in np.random.SeedSequence(seed).spawn(n_chunks):
        rng = np.random.default_rng(child)
        for _ in range(min(CHUNK, resamples - len(values))):
            if groups is None:
                chosen = rng.integers(0, n_bonafide, n_bonafide), rng.integers(0, n_spoof, n_spoof)
            else:
                names = sorted(set(groups[0]) | set(groups[1]))
                drawn = [names[k] for k in rng.integers(0, len(names), len(names))]
                chosen = [
                    np.concatenate([np.flatnonzero(g == name) for name in drawn]) for g in groups
                ]
            values.append(
                [
                    (eer(b[chosen[0]], s[chosen[1]]), min_dcf(b[chosen[0]], s[chosen[1]], COSTS))
                    for b, s in systems
                ]
            )
    return np.array(values)


def percentiles(values, level=0.95):
    return tuple(np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="linear"))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), resamples=st.integers(1, 60))
def test_by_trial_equals_plain_resampling(seed, resamples):
    bonafide, spoof = (np.sort(scores) for scores in draw(seed=seed))
    plain = plain_resamples([(bonafide, spoof)], seed, resamples)[:, 0]
    result = bootstrap(bonafide, spoof, COSTS, seed=seed, resamples=resamples)
    assert (result.eer.low, result.eer.high) == percentiles(plain[:, 0])
    assert (result.min_dcf.low, result.min_dcf.high) == percentiles(plain[:, 1])
    assert result.eer.estimate == eer(bonafide, spoof)
    assert result.min_dcf.estimate == min_dcf(bonafide, spoof, COSTS)
    assert (result.resampling.unit, result.resampling.n_units) == ("trial", 200)


def test_by_speaker_equals_plain_resampling():
    bonafide, spoof = draw()
    groups = speakers()
    orders = np.argsort(bonafide), np.argsort(spoof)
    bonafide, spoof = bonafide[orders[0]], spoof[orders[1]]
    groups = groups[0][orders[0]], groups[1][orders[1]]
    plain = plain_resamples([(bonafide, spoof)], 3, 60, groups)[:, 0]
    result = bootstrap(bonafide, spoof, COSTS, seed=3, resamples=60, groups=groups, level=0.8)
    assert (result.eer.low, result.eer.high) == percentiles(plain[:, 0], 0.8)
    assert (result.min_dcf.low, result.min_dcf.high) == percentiles(plain[:, 1], 0.8)
    assert (result.resampling.unit, result.resampling.n_units) == ("speaker", 10)
    assert result.resampling.redrawn == 0


def test_paired_equals_plain_resampling():
    first, other = draw(seed=0), draw(seed=9)
    second = first[0] - other[0], first[1] + 0.5 * other[1]
    orders = np.lexsort((second[0], first[0])), np.lexsort((second[1], first[1]))
    systems = [
        tuple(s[order] for s, order in zip(system, orders, strict=True))
        for system in (first, second)
    ]
    plain = plain_resamples(systems, 4, 60)
    differences = plain[:, 0] - plain[:, 1]
    result = paired_bootstrap(*systems, COSTS, seed=4, resamples=60)
    for k, difference in enumerate((result.eer, result.min_dcf)):
        values = differences[:, k]
        assert (difference.low, difference.high) == percentiles(values)
        rarer = min((values <= 0).sum(), (values >= 0).sum())
        assert difference.p_value == min(1, 2 * (1 + rarer) / 61)
    assert result.eer.estimate == eer(*systems[0]) - eer(*systems[1])


@pytest.mark.parametrize("grouped", [False, True])
def test_result_depends_on_the_seed_only(grouped):
    bonafide, spoof = draw()
    groups = speakers() if grouped else None
    results = [
        bootstrap(bonafide, spoof, COSTS, seed=7, resamples=110, groups=groups, workers=workers)
        for workers in (1, 2, 5)
    ]
    assert results[0] == results[1] == results[2]
    other = bootstrap(bonafide, spoof, COSTS, seed=8, resamples=110, groups=groups)
    assert (other.eer.low, other.eer.high) != (results[0].eer.low, results[0].eer.high)


@pytest.mark.parametrize("grouped", [False, True])
def test_result_does_not_depend_on_row_order(grouped):
    first, second = draw(), draw(seed=5)
    groups = speakers()
    rng = np.random.default_rng(0)
    rows = rng.permutation(80), rng.permutation(120)

    def shuffled(pair):
        return tuple(values[row] for values, row in zip(pair, rows, strict=True))

    for call, systems in ((bootstrap, first), (paired_bootstrap, (first, second))):
        arguments = [shuffled(s) for s in systems] if call is paired_bootstrap else shuffled(first)
        results = [
            call(*scores, COSTS, seed=1, resamples=50, groups=g if grouped else None)
            for scores, g in ((systems, groups), (arguments, shuffled(groups)))
        ]
        assert results[0] == results[1]


def test_identical_systems_differ_by_nothing():
    system = draw()
    for groups in (None, speakers()):
        result = paired_bootstrap(system, system, COSTS, seed=0, resamples=100, groups=groups)
        for difference in (result.eer, result.min_dcf):
            assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)
            assert difference.p_value == 1


def test_a_clear_difference_has_the_smallest_p_value():
    bonafide, spoof = draw()
    result = paired_bootstrap(
        (bonafide + 5, spoof), (bonafide, spoof), COSTS, seed=0, resamples=199
    )
    assert result.eer.high < 0
    assert result.eer.p_value == 2 / 200
    swapped = paired_bootstrap(
        (bonafide, spoof), (bonafide + 5, spoof), COSTS, seed=0, resamples=199
    )
    assert swapped.eer.estimate == -result.eer.estimate
    assert swapped.eer.p_value == 2 / 200


def test_interval_width_is_that_of_the_normal_approximation():
    rng = np.random.default_rng(3)
    n = 20_000
    bonafide, spoof = rng.normal(2, 1, n), rng.normal(0, 1, n)
    result = bootstrap(bonafide, spoof, COSTS, seed=0, resamples=300)
    rate = result.eer.estimate
    expected = 2 * 1.96 * np.sqrt(rate * (1 - rate) / (2 * n))
    assert result.eer.high - result.eer.low == pytest.approx(expected, rel=0.15)
    assert result.eer.low < rate < result.eer.high


def test_speakers_widen_the_interval_of_dependent_trials():
    rng = np.random.default_rng(4)
    names = np.repeat(np.arange(30), 20)
    bonafide = rng.normal(2, 1, 30)[names] + 0.1 * rng.normal(size=600)
    spoof = rng.normal(0, 1, 30)[names] + 0.1 * rng.normal(size=600)
    by_trial = bootstrap(bonafide, spoof, COSTS, seed=0, resamples=300).eer
    by_speaker = bootstrap(bonafide, spoof, COSTS, seed=0, resamples=300, groups=(names, names)).eer
    assert by_speaker.high - by_speaker.low > 2 * (by_trial.high - by_trial.low)


def test_resamples_without_a_class_are_drawn_again():
    # Two speakers, one of each class: half of the draws hold one class only.
    result = bootstrap(
        [1.0, 2.0], [0.0, 3.0], COSTS, seed=0, resamples=200, groups=(["a", "a"], ["b", "b"])
    )
    assert 120 < result.resampling.redrawn < 290
    assert result.resampling.resamples == 200
    # Each kept resample holds both speakers once, so it is the data itself.
    assert result.eer.low == result.eer.high == result.eer.estimate


def test_integer_speakers_are_taken():
    bonafide, spoof = draw()
    names = speakers()
    numbers = tuple(np.array([int(name[3:]) for name in group]) for group in names)
    results = [
        bootstrap(bonafide, spoof, COSTS, seed=0, resamples=40, groups=g) for g in (names, numbers)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "resamples is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"level": 1.0}, r"level is 1\.0"),
        ({"seed": -1}, "seed is -1"),
        ({"groups": (["a"], ["b", "c"])}, r"speakers of shape \(1,\) for 2 bonafide scores"),
        (
            {"groups": (["a", "b"], ["a", None])},
            "1 of 2 spoof trials have no speaker, the first at row 1",
        ),
        ({"groups": (["a", ""], ["a", "b"])}, "1 of 2 bonafide trials have no speaker"),
        ({"groups": (["a", "a"], ["a", "a"])}, r"1 speaker \(a\), expected at least 2"),
    ],
)
def test_options_are_refused_by_name(options, message):
    with pytest.raises(MixframeError, match=message):
        bootstrap([1.0, 2.0], [0.0, 1.0], COSTS, **({"seed": 0, "resamples": 5} | options))


def test_bad_scores_are_refused_by_name():
    with pytest.raises(MixframeError, match="spoof scores: 0 trials"):
        bootstrap([1.0], [], COSTS, seed=0)
    with pytest.raises(MixframeError, match="second system, bonafide scores: 1 NaN"):
        paired_bootstrap(([1.0], [0.0]), ([np.nan], [0.0]), COSTS, seed=0)
    with pytest.raises(
        MixframeError, match="second system, spoof: 2 scores, but 1 in the first run"
    ):
        paired_bootstrap(([1.0], [0.0]), ([1.0], [0.0, 1.0]), COSTS, seed=0)
