"""Figures as files: the same whether another process writes them or this one."""

import sys

import pandas as pd
import pytest

from mixframe.base.errors import MixframeError
from mixframe.report.draw import Drawing, Key, Line
from mixframe.report.files import written


def drawing(value):
    def panel(figure):
        axes = figure.subplots()
        axes.plot([0, value], [value, 1])
        axes.set_xlabel(f"up to {value}")

    table = pd.DataFrame({"value": [value], "=name": ["=1+1"]})
    key = Key("a line", Line("#336699"))
    return Drawing(table, {"it rises": panel}, (3.0, 2.0), "A caption", legend=[key])


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    drawings = {"first": drawing(2), "second": drawing(7)}
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        with written(drawings, tmp_path / str(workers), workers):
            # Without another process they are there before the page is made.
            assert workers > 1 or len(files(tmp_path / "1")) == 6
    alone, beside = files(tmp_path / "1"), files(tmp_path / "2")
    assert sorted(alone) == [f"{n}.{s}" for n in drawings for s in ("csv", "png", "svg")]
    assert alone == beside


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_written_is_an_error_of_the_stage(tmp_path, workers):
    def panel(figure):
        raise MixframeError("nothing to draw")

    broken = Drawing(pd.DataFrame(), {"it": panel}, (3.0, 2.0), "A caption")
    with pytest.raises(MixframeError, match="nothing to draw"):  # noqa: SIM117
        with written({"broken": broken}, tmp_path, workers):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="no fork is made elsewhere")
def test_an_error_of_the_page_is_raised_as_it_is(tmp_path):
    with pytest.raises(KeyError, match="the page"), written({"one": drawing(1)}, tmp_path, 2):
        raise KeyError("the page")
