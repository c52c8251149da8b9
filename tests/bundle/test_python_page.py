"""docs/python.md: its examples run as they stand there."""

import re
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

import mixframe
from tests.conftest import tone

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(r"^## (.*?)\n.*?^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)


@pytest.fixture
def values(bundle, tmp_path, monkeypatch):
    """Return a function that runs the example of a title and returns its names."""
    shutil.copytree(bundle("mfpt"), tmp_path / "bundle")
    soundfile.write(tmp_path / "recording.wav", tone(20_000, 9), 22_050)
    monkeypatch.chdir(tmp_path)
    codes = dict(EXAMPLES)

    def run(title):
        names = {}
        exec(compile(codes[title], title, "exec"), names)
        return names

    return run


def test_there_are_five_examples():
    assert len(EXAMPLES) == 5
    assert PAGE.read_text().count("```python") == 5


def test_score_a_recording(values, capsys):
    names = values("Score a recording")
    said = capsys.readouterr().out.split()
    assert float(said[-1]) == names["detector"].llr(names["score"])
    threshold = names["detector"].contents.threshold
    assert said[:-1] == (["bona", "fide"] if names["score"] > threshold else ["spoof"])


def test_where_something_was_injected(values, capsys):
    names = values("Where something was injected")
    cut = names["detector"].contents.frames.cut(0.05)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (names["evidence"] >= cut).sum()


def test_post_training(values):
    names = values("Mix-frames post-training in a loop of your own")
    assert names["labels"].any()
    assert names["logits"].shape == names["labels"].shape
    assert all(torch.isfinite(p).all() for p in names["classifier"].parameters())


def test_the_fgfm_head(values):
    names = values("The FGFM head on an encoder of your own")
    assert names["scores"].shape == (2,)
    names["loss"].backward()


def test_an_eer_with_its_interval(values, capsys):
    names = values("An EER with its interval")
    lines = capsys.readouterr().out.splitlines()
    rate = mixframe.eer(names["bonafide"], names["spoof"])
    assert float(lines[0]) == rate
    assert all(f"eer={rate}" in line for line in lines[1:])
    assert lines[1] != lines[2]


def test_the_table_of_names_is_whole():
    first = PAGE.read_text().split("## ")[0]
    table = "".join(line.split("|")[1] for line in first.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(mixframe.__all__)
