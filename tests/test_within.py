"""Two runs against what training alone moves: the quantile by hand, and what is refused."""

import copy

import pytest

from benchmarks.within import compare


def summary(eer=0.1, deviation=0.01, seeds=(1, 2, 3)):
    figures = {"eer": eer, "eer_sd_training": deviation}
    entry = {"sets": {"seen": figures, "unseen": figures}}
    return {
        "seeds": [*seeds],
        "sets": ["seen", "unseen"],
        "systems": {"lora": copy.deepcopy(entry), "mfpt": copy.deepcopy(entry)},
    }


def test_the_tolerance_is_student_s_for_both_runs_and_all_figures():
    other = summary(eer=0.12)
    rows = compare(summary(), other)
    assert [row[:2] for row in rows] == [
        ("lora", "seen"),
        ("lora", "unseen"),
        ("mfpt", "seen"),
        ("mfpt", "unseen"),
    ]
    # Four degrees of freedom, 1.25 % for each of the four figures: 4.315.
    for *_, difference, tolerance in rows:
        assert difference == pytest.approx(0.02)
        assert tolerance == pytest.approx(4.315 * 0.01 * 2**0.5, rel=1e-3)
    wider = compare(summary(), summary(deviation=0.02))[0][3]
    assert wider == pytest.approx(4.315 * (0.01**2 + 0.02**2) ** 0.5, rel=1e-3)
    assert compare(summary(seeds=range(5)), summary(seeds=range(5)))[0][3] < rows[0][3]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="one seed"):
        compare(summary(seeds=[1]), summary(seeds=[1]))
    with pytest.raises(ValueError, match=r"seeds: \[1, 2, 3\] in one, \[4, 5, 6\] in the other"):
        compare(summary(), summary(seeds=[4, 5, 6]))
    other = summary()
    other["systems"]["lfcc"] = other["systems"].pop("lora")
    with pytest.raises(ValueError, match="systems"):
        compare(summary(), other)
