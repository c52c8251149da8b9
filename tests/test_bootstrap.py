"""Bootstrap: the same draws as a plain resampling, and the properties an interval must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics.bootstrap import CHUNK, Settings, difference, interval, resample
from mixframe.metrics.detection import DcfCosts, Sample, cllr, eer, min_dcf
from mixframe.metrics.registry import METRICS

COSTS = DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10)
RESAMPLED = [metric for metric in METRICS if metric.interval]


def how(seed=0, resamples=1000, level=0.95, workers=1):
    return Settings(COSTS, "trial", resamples, level, seed, workers)


def bootstrap(bonafide, spoof, groups=None, **options):
    """(estimate, low, high) of each resampled metric of one system."""
    settings = how(**options)
    values = resample({"": [(bonafide, spoof)]}, RESAMPLED, settings, groups)[""]
    return {key: (v[0], *interval(v, settings.level)) for key, v in values.items()}


def paired(first, second, groups=None, **options):
    """The difference of two systems in each resampled metric."""
    settings = how(**options)
    systems = {"first system": [first], "second system": [second]}
    a, b = resample(systems, RESAMPLED, settings, groups).values()
    return {key: difference(a[key], b[key], settings.level) for key in a}


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
    assert bootstrap(bonafide, spoof, seed=seed, resamples=resamples) == {
        "eer": (eer(bonafide, spoof), *percentiles(plain[:, 0])),
        "min_dcf": (min_dcf(bonafide, spoof, COSTS), *percentiles(plain[:, 1])),
    }


def test_by_speaker_equals_plain_resampling():
    bonafide, spoof = draw()
    groups = speakers()
    orders = np.argsort(bonafide), np.argsort(spoof)
    bonafide, spoof = bonafide[orders[0]], spoof[orders[1]]
    groups = groups[0][orders[0]], groups[1][orders[1]]
    plain = plain_resamples([(bonafide, spoof)], 3, 60, groups)[:, 0]
    result = bootstrap(bonafide, spoof, groups, seed=3, resamples=60, level=0.8)
    assert result["eer"][1:] == percentiles(plain[:, 0], 0.8)
    assert result["min_dcf"][1:] == percentiles(plain[:, 1], 0.8)


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
    result = paired(*systems, seed=4, resamples=60)
    for k, key in enumerate(("eer", "min_dcf")):
        values = differences[:, k]
        assert (result[key]["low"], result[key]["high"]) == percentiles(values)
        rarer = min((values <= 0).sum(), (values >= 0).sum())
        assert result[key]["p_value"] == min(1, 2 * (1 + rarer) / 61)
    assert result["eer"]["difference"] == eer(*systems[0]) - eer(*systems[1])


@pytest.mark.parametrize("grouped", [False, True])
def test_result_depends_on_the_seed_only(grouped):
    bonafide, spoof = draw()
    groups = speakers() if grouped else None
    results = [
        bootstrap(bonafide, spoof, groups, seed=7, resamples=110, workers=workers)
        for workers in (1, 2, 5)
    ]
    assert results[0] == results[1] == results[2]
    other = bootstrap(bonafide, spoof, groups, seed=8, resamples=110)
    assert other["eer"][1:] != results[0]["eer"][1:]


@pytest.mark.parametrize("grouped", [False, True])
def test_result_does_not_depend_on_row_order(grouped):
    first, second = draw(), draw(seed=5)
    groups = speakers()
    rng = np.random.default_rng(0)
    rows = rng.permutation(80), rng.permutation(120)

    def shuffled(pair):
        return tuple(values[row] for values, row in zip(pair, rows, strict=True))

    for call, systems in ((bootstrap, first), (paired, (first, second))):
        arguments = [shuffled(s) for s in systems] if call is paired else shuffled(first)
        results = [
            call(*scores, g if grouped else None, seed=1, resamples=50)
            for scores, g in ((systems, groups), (arguments, shuffled(groups)))
        ]
        assert results[0] == results[1]


def test_identical_systems_differ_by_nothing():
    system = draw()
    for groups in (None, speakers()):
        result = paired(system, system, groups, resamples=100)
        assert list(result) == ["eer", "min_dcf"]
        for values in result.values():
            assert values == {"difference": 0, "low": 0, "high": 0, "p_value": 1}


def test_a_clear_difference_has_the_smallest_p_value():
    bonafide, spoof = draw()
    result = paired((bonafide + 5, spoof), (bonafide, spoof), resamples=199)["eer"]
    assert result["high"] < 0
    assert result["p_value"] == 2 / 200
    swapped = paired((bonafide, spoof), (bonafide + 5, spoof), resamples=199)["eer"]
    assert swapped["difference"] == -result["difference"]
    assert swapped["p_value"] == 2 / 200


def test_interval_width_is_that_of_the_normal_approximation():
    rng = np.random.default_rng(3)
    n = 20_000
    bonafide, spoof = rng.normal(2, 1, n), rng.normal(0, 1, n)
    rate, low, high = bootstrap(bonafide, spoof, resamples=300)["eer"]
    expected = 2 * 1.96 * np.sqrt(rate * (1 - rate) / (2 * n))
    assert high - low == pytest.approx(expected, rel=0.15)
    assert low < rate < high


def test_speakers_widen_the_interval_of_dependent_trials():
    rng = np.random.default_rng(4)
    names = np.repeat(np.arange(30), 20)
    bonafide = rng.normal(2, 1, 30)[names] + 0.1 * rng.normal(size=600)
    spoof = rng.normal(0, 1, 30)[names] + 0.1 * rng.normal(size=600)
    _, low, high = bootstrap(bonafide, spoof, resamples=300)["eer"]
    _, lower, higher = bootstrap(bonafide, spoof, (names, names), resamples=300)["eer"]
    assert higher - lower > 2 * (high - low)


def test_resamples_without_a_class_are_drawn_again():
    # Two speakers, one of each class: half of the draws hold one class only.
    scores, groups = ([1.0, 2.0], [0.0, 3.0]), (["a", "a"], ["b", "b"])
    values = resample({"": [scores]}, RESAMPLED, how(resamples=200), groups)[""]
    # Each kept resample holds both speakers once, so it is the data itself.
    assert values["eer"].tolist() == [eer(*scores)] * 201


def test_integer_speakers_are_taken():
    bonafide, spoof = draw()
    names = speakers()
    numbers = tuple(np.array([int(name[3:]) for name in group]) for group in names)
    results = [bootstrap(bonafide, spoof, groups, resamples=40) for groups in (names, numbers)]
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
        bootstrap([1.0, 2.0], [0.0, 1.0], **({"resamples": 5} | options))


def test_bad_scores_are_refused_by_name():
    with pytest.raises(MixframeError, match="spoof scores: 0 trials"):
        bootstrap([1.0], [])
    with pytest.raises(MixframeError, match="second system, bonafide scores: 1 NaN"):
        paired(([1.0], [0.0]), ([np.nan], [0.0]))
    with pytest.raises(
        MixframeError, match="second system, spoof: 2 scores, but 1 in the first run"
    ):
        paired(([1.0], [0.0]), ([1.0], [0.0, 1.0]))


def test_every_metric_can_be_resampled():
    # By speaker, and two of each class: what is drawn is the data, or one class's half twice.
    scores = [1.0, 4.0], [0.0, 3.0]
    values = resample({"": [scores]}, METRICS, how(resamples=40), (["a", "b"], ["a", "b"]))[""]
    drawn = [scores, ([1.0, 1.0], [0.0, 0.0]), ([4.0, 4.0], [3.0, 3.0])]
    for metric in METRICS:
        expected = {metric.value(Sample(*sample), COSTS) for sample in drawn}
        assert set(values[metric.key]) == expected
    assert values["cllr"][0] == cllr(*scores)
