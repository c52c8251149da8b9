"""Names that come from data, in pages, cards, drawings and tables for people."""

import csv
import io
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from jinja2 import Environment
from markupsafe import Markup

from mixframe.base.shown import cell, cells, visible
from mixframe.bundle.analysis import Result
from mixframe.bundle.card import escaped
from mixframe.bundle.output import csv_of, table
from mixframe.bundle.page import card
from mixframe.bundle.under import Verdict, text_of
from mixframe.report import draw
from mixframe.report.figures import conditions, embeddings, robustness
from mixframe.report.render import breakable, inline_svg, shown

SCRIPT = "<script>alert(1)</script>"
NAMES = [SCRIPT, 'a" onload="x', "a\u202eb", "$x$ and $", "a & b", "a\x01b", "]]>", "-->"]


def harmless(html):
    return "<script" not in html and '" onload' not in html and "\u202e" not in html


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_recording_shows_its_name(name):
    html = card(Result(file=name, error=f"{name}: no audio"), None, [])
    assert harmless(html)
    assert html.count("alert(1)") == (3 if name == SCRIPT else 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_report_shows_names_as_they_are(name):
    environment = Environment(autoescape=True, finalize=shown)
    html = environment.from_string("<p title='{{ a }}'>{{ a }}</p>{{ b }}").render(
        a=name, b=Markup("<b>bold</b>")
    )
    assert harmless(html)
    assert html.endswith("<b>bold</b>")
    assert harmless(breakable(name))


@pytest.mark.parametrize("name", NAMES)
def test_drawings_show_names_as_they_are(name):
    rates = pd.DataFrame(
        {
            "system": [name, "lfcc"],
            "set": name,
            "value": name,
            "seen": True,
            "eer": [0.1, 0.2],
        }
    )
    maps = conditions.drawing(rates, [name, "lfcc"], [name], "")
    rows = pd.DataFrame(
        {
            "encoder": name,
            "utterance": [f"u{i}" for i in range(6)],
            "label": ["bonafide", "spoof"] * 3,
            "attack": ["-", name] * 3,
            "embedding": list(np.random.default_rng(0).normal(size=(6, 4))),
        }
    )
    points = embeddings.drawing(rows, name)
    assert harmless(points.caption)
    rate = {"eer": 0.1, "change": {"difference": 0.05, "reason": "both"}}
    changes = robustness.drawing(
        {name: {"conditions": {name: {"clean": {"eer": 0.1}, name: rate}}}}
    )
    for drawing in (maps, points, changes):
        draw.to_svg(drawing.whole())
        for svg in drawing.page():
            html = inline_svg(svg, "a", name)
            elements = list(ElementTree.fromstring(html).iter())
            assert not any("onload" in e.attrib or e.tag == "script" for e in elements)
            assert "\u202e" not in html
            if "$" in name:
                assert name in html
            elif name == SCRIPT:
                assert "alert(1)" in html


@pytest.mark.parametrize("name", NAMES)
def test_the_model_card_shows_names_as_they_are(name):
    text = escaped(name)
    assert "\u202e" not in text
    assert "<script" not in text.replace("\\<", "")


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_what_detect_writes_for_spreadsheets_holds_no_formula(name):
    rows = list(csv.DictReader(io.StringIO(csv_of([Result(file=name, error=name)]))))
    assert (rows[0]["file"], rows[0]["error"]) == (f"'{name}", f"'{name}")


def test_a_terminal_obeys_no_name():
    name = "a\x1b[31m\u202eb"
    result = Result(file=name, score=1.0, decision="spoof")
    heard = {"condition": "noise", "llr": None, "p_spoof": None, "error": None}
    verdict = Verdict(score=2.0, decision="bonafide", **heard)
    for text in (table([result]), text_of([result], {name: [verdict]})):
        assert "a?[31m?b" in text
        assert "\x1b" not in text


def test_letters_of_every_script_stay():
    for text in ("Größe", "שלום", "مرحبا", "日本語", "a\tb\nc", "e\u0301", "👩\u200d🔬"):
        assert visible(text) == text


def test_spreadsheets_take_no_cell_for_a_formula():
    given = ["=1+1", "+1", "-1", "@x", "\tx", "-", "a=b", ""]
    made = ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "-", "a=b", ""]
    assert [cell(text) for text in given] == made
    table = pd.DataFrame({"name": given, "value": np.float32(0.1), "some": [None, *given[1:]]})
    text = cells(table).to_csv(index=False)
    read = pd.read_csv(io.StringIO(text), keep_default_na=False)
    assert read["name"].tolist() == made
    assert read["some"].tolist() == ["", *made[1:]]
    numbers = table[["value"]].assign(other=[-0.5] * len(table))
    assert cells(numbers).to_csv() == numbers.to_csv()
    assert ",0.1," in text
