"""The comparison with plain loops measures every side of every piece of work."""

import json
from pathlib import Path

import pytest

from benchmarks import throughput

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("work", throughput.WORKS)
@pytest.mark.parametrize("side", throughput.SIDES)
def test_a_side_goes_through_the_corpus(work, side, monkeypatch):
    monkeypatch.chdir(ROOT)
    figures = throughput.measure(work, side, "", quick=True)
    assert figures["utterances_per_second"] > 0
    assert figures["peak_gib"] > 0


def test_sides_take_turns_and_the_table_has_medians_and_ranges(monkeypatch, capsys):
    rates = {"plain": [1.0, 2.0, 4.0], "careful": [2.0, 2.0, 2.0], "ours": [4.0, 4.0, 4.0]}
    order = []

    def child(work, side, arguments):
        turn = sum(one == side for one in order)
        order.append(side)
        return {"utterances_per_second": rates[side][turn], "peak_gib": 1.0 + turn}

    monkeypatch.setattr(throughput, "child", child)
    monkeypatch.setattr("sys.argv", ["throughput", "--turns", "3", "--work", "score"])
    throughput.main()
    sides = list(throughput.SIDES)
    assert order == [*sides, *sides[::-1], *sides]
    *table, last = capsys.readouterr().out.splitlines()
    assert table[2:] == [
        "| score | plain | 2.00 (1.00 to 4.00) | 2.00 (1.00 to 4.00) | 2.00 (1.00 to 3.00) |",
        "| score | careful | 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) | 2.00 (1.00 to 3.00) |",
        "| score | ours | 4.00 (4.00 to 4.00) |  | 2.00 (1.00 to 3.00) |",
    ]
    assert json.loads(last)["score"]["ours_over"]["plain"] == [2.0, 1.0, 4.0]
