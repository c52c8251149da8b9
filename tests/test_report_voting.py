"""Votes in the report: what is read, what is drawn, and what stands behind the figure."""

import re

import numpy as np
import pandas as pd
import pytest

from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, write_json
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Grid
from mixframe.report.draw import to_png
from mixframe.report.examples import Example, collect_votes
from mixframe.report.figures.votes import drawing, vote_table
from mixframe.report.render import inline_svg

GRID = Grid(
    system=["lfcc", "a", "b"],
    classical=["lfcc"],
    foundation=["a", "b"],
    posttrained=[],
    borrowing=[],
    lender="",
    voting=["a", "b"],
    localising=[],
    seed=[0],
    set=["eval"],
)
FILES = Layout("made")
CHOSEN = {"a": [0, 2, 1, 0], "b": [1, 0, 0, 1]}
ATTENTION = {"a": [0.1, 0.5, 0.2, 0.1], "b": [0.25, 0.125, 0.125, 0.25]}


def example(utterance):
    rng = np.random.default_rng(0)
    times = 0.0125 + 0.02 * np.arange(4)
    wave = rng.normal(0, 0.1, 1360).astype(np.float32)
    return Example(
        "heldout",
        utterance,
        "i",
        "bonafide",
        {"a (posttrain)": 0.9},
        0.5,
        wave,
        [(0.02, 0.06)],
        times,
        {"a (posttrain)": times},
    )


@pytest.fixture
def votes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for system, chosen in CHOSEN.items():
        write_json(
            FILES.vote_metrics(system),
            {
                "heldout": {"utterances": 5, "share": 0.4, "chance": 0.3},
                "eval_partial": {"utterances": 0},
            },
        )
        table = pd.DataFrame({"set": "heldout", "utterance": ["u"], "chosen": [chosen]})
        table["attention"] = [ATTENTION[system]]
        with atomic_path(FILES.votes(system)) as temporary:
            table.to_parquet(temporary)
    return collect_votes(FILES, GRID, [example("u"), example("without votes")])


def test_examples_without_votes_are_left_out(votes):
    assert [e.utterance for e in votes.examples] == ["u"]
    assert {s: c.tolist() for s, c in votes.chosen[0].items()} == CHOSEN
    assert {s: a.tolist() for s, a in votes.attention[0].items()} == ATTENTION
    first = votes.table.iloc[0]
    assert first.tolist() == ["a", "heldout", 5, 0.4, 0.3]
    assert votes.table.iloc[1][["share", "chance"]].isna().all()


def test_the_table_behind_the_figure_has_every_frame(votes):
    table = vote_table(votes)
    assert len(table) == 8
    assert table.loc[table["system"] == "a", "chosen"].tolist() == CHOSEN["a"]
    assert table.loc[table["system"] == "a", "injected"].tolist() == [False, True, True, False]
    assert table.loc[table["system"] == "b", "attention"].tolist() == ATTENTION["b"]


def test_it_is_drawn_the_same_every_time(votes):
    first, second = (to_png(drawing(votes).whole()) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert len(first) > 10_000


def test_each_system_has_its_votes_and_its_attention_below_the_spectrogram(votes):
    axes = drawing(votes).whole().axes
    assert [axis.get_ylabel() for axis in axes] == ["kHz", "a", "b", "P(injected)", "", ""]
    bars = [[bar.get_height() for bar in axis.patches[:4]] for axis in axes[1:3]]
    assert bars == list(CHOSEN.values())
    assert [axis.lines[0].get_ydata().tolist() for axis in axes[4:]] == list(ATTENTION.values())
    # The spliced region is marked on every track.
    assert all(axis.patches[-1].get_extents().width > 0 for axis in axes[:4])


def test_spectrograms_are_pictures_inside_the_page(votes):
    svg = inline_svg(drawing(votes).page()[0], "votes0", "votes")
    assert 'href="data:image/png;base64,' in svg
    for reference in re.findall(r'href="#([^"]+)"', svg):
        assert f'id="{reference}"' in svg


def test_without_voting_systems_there_is_nothing(votes):
    assert collect_votes(FILES, GRID.model_copy(update={"voting": []}), []) is None
    assert vote_table(None).empty
    assert to_png(drawing(None).whole()).startswith(b"\x89PNG")


def test_votes_that_are_missing_are_named(votes):
    FILES.votes("b").unlink()
    with pytest.raises(MixframeError, match=r"votes.parquet: no such file; the stage 'vote'"):
        collect_votes(FILES, GRID, [])
