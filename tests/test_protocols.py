"""Keys in every published form, joined to scores; ASV scores; every mistake named."""

import numpy as np
import pandas as pd
import pytest

from mixframe.base.errors import MixframeError
from mixframe.metrics import protocols

LA19 = "LA_1 LA_E_1 - - bonafide\nLA_2 LA_E_2 - A11 spoof\n"
LA21 = (
    "LA_0009 LA_E_1 alaw ita_tx A07 spoof notrim eval\n"
    "LA_0010 LA_E_2 none loc_tx bonafide bonafide notrim eval\n"
    "LA_0011 LA_E_3 none loc_tx bonafide bonafide notrim progress\n"
    "LA_0012 LA_E_4 opus loc_tx A08 spoof trim hidden\n"
)
DF21 = (
    "LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim eval traditional_vocoder - - - -\n"
    "TEF2 DF_E_2 low_mp3 vcc2020 bonafide bonafide notrim eval bonafide - - - -\n"
)
ASV5 = (
    "E_1 E_0000000001 F C05 4 AC1 AC3 A17 spoof -\nE_2 E_0000000002 M - - - - bonafide bonafide -\n"
)


def put(tmp_path, text, name="keys.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "filename\tcm-label\nE_2\tspoof\nE_1\tbonafide\n",
            {"trial": ["E_2", "E_1"], "label": ["spoof", "bonafide"]},
        ),
        (
            LA19,
            {
                "speaker": ["LA_1", "LA_2"],
                "trial": ["LA_E_1", "LA_E_2"],
                "attack": ["-", "A11"],
                "label": ["bonafide", "spoof"],
            },
        ),
        (
            DF21,
            {
                "trial": ["DF_E_1", "DF_E_2"],
                "codec": ["nocodec", "low_mp3"],
                "source": ["asvspoof", "vcc2020"],
                "attack": ["A14", "-"],
                "subset": ["eval", "eval"],
                "vocoder": ["traditional_vocoder", "bonafide"],
                "language": ["-", "-"],
            },
        ),
        (
            ASV5,
            {
                "speaker": ["E_1", "E_2"],
                "trial": ["E_0000000001", "E_0000000002"],
                "gender": ["F", "M"],
                "codec": ["C05", "-"],
                "attack": ["A17", "-"],
                "label": ["spoof", "bonafide"],
            },
        ),
    ],
)
def test_forms_are_told_by_their_content(tmp_path, text, expected):
    table = protocols.read(put(tmp_path, text))
    assert {column: table[column].tolist() for column in expected} == expected
    assert not [column for column in table if not column.isidentifier()]


def test_a_manifest_has_its_sets_as_subsets(tmp_path, make_manifest):
    table = make_manifest({"train": 2, "eval": 3})
    table.to_parquet(tmp_path / "manifest.parquet")
    found = protocols.read(tmp_path / "manifest.parquet")
    assert found["subset"].tolist() == table["set"].tolist()
    assert found["trial"].tolist() == table["utterance"].tolist()


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a,b,c\n", ["keys.txt, line 1: wrong separator (comma), 1 columns in 'a,b,c'"]),
        ("a b c\n", ["keys.txt, line 1: 3 columns in 'a b c'"]),
        (
            LA19 + "LA_1 LA_E_1 - - bona-fide\nx\n",
            [
                ", line 3: trial 'LA_E_1' is on line 1 already",
                ", line 3: unknown label 'bona-fide', expected bonafide or spoof",
                ", line 4: 1 fields, expected 5 separated by single spaces: 'x'",
            ],
        ),
        ("filename,cm-label\na,spoof\n", ["line 1: 'filename,cm-label', expected the header"]),
        ("a spoof\nb bonafide\n", ["line 1: 'a spoof', expected the header 'filename\\tcm-label'"]),
        ("", ["the file is empty, expected keys"]),
    ],
)
def test_bad_keys_are_named_with_their_line(tmp_path, text, messages):
    with pytest.raises(MixframeError) as caught:
        protocols.read(put(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [("\n", "\r\n"), (" ", "  "), ("LA_1", "\ufeffLA_1")])
def test_keys_may_have_been_edited(tmp_path, old, new):
    edited = put(tmp_path, "", "edited.txt")
    edited.write_bytes((LA19.replace(old, new, -1 if old != "LA_1" else 1) + " \n").encode())
    pd.testing.assert_frame_equal(protocols.read(edited), protocols.read(put(tmp_path, LA19)))


SCORES = "LA_E_1 0\nLA_E_2 2\nLA_E_3 3\nLA_E_4 1\n"


def test_the_published_subset_is_the_default(tmp_path):
    scores, metadata = put(tmp_path, SCORES, "s.txt"), put(tmp_path, LA21)
    pooled = protocols.join(scores, metadata)
    assert (pooled.subset, pooled.n_keys) == ("eval", 4)
    assert pooled.table["trial"].tolist() == ["LA_E_1", "LA_E_2"]
    everything = protocols.join(scores, metadata, "all")
    assert everything.subset is None
    assert everything.table["score"].tolist() == [0, 2, 3, 1]
    # A file with the subset's trials alone will do.
    assert protocols.join(put(tmp_path, "LA_E_2 2\nLA_E_1 0\n", "e.txt"), metadata).n_keys == 4


def test_a_subset_needs_its_trials_and_no_unknown_ones(tmp_path):
    metadata = put(tmp_path, LA21)
    with pytest.raises(MixframeError) as caught:
        protocols.join(put(tmp_path, "LA_E_1 0\nLA_E_3 1\nother 1\n", "s.txt"), metadata)
    assert "s.txt and" in str(caught.value)
    assert "subset eval" in str(caught.value)
    assert "1 trials of the keys have no score: LA_E_2" in str(caught.value)
    assert "1 scores are for trials that are not in the keys: other" in str(caught.value)
    with pytest.raises(MixframeError, match=r"--subset x: expected one of eval, hidden, progress"):
        protocols.join(put(tmp_path, SCORES, "s.txt"), metadata, "x")
    with pytest.raises(MixframeError, match="--subset eval: these keys have no subsets"):
        protocols.join(put(tmp_path, "LA_E_1 0\nLA_E_2 1\n", "s.txt"), put(tmp_path, LA19), "eval")


ASV_KEYS = "".join(
    f"LA_1 LA_E_{i} none loc_tx {k} {k} notrim {s}\n"
    for i, (k, s) in enumerate(
        [("target", "eval"), ("nontarget", "eval"), ("spoof", "eval"), ("target", "progress")]
    )
)


def test_asv_scores_of_2019_and_2021(tmp_path):
    old = put(tmp_path, "- target 3\n- nontarget 1\nA07 spoof 2\n- target 4.5\n", "asv.txt")
    found = protocols.read_asv(old)
    assert [v.tolist() for v in (found.target, found.nontarget, found.spoof)] == [
        [3, 4.5],
        [1],
        [2],
    ]
    new = put(tmp_path, "".join(f"LA_1 LA_E_{i} {i}.5\n" for i in range(4)), "score.txt")
    metadata = put(tmp_path, ASV_KEYS)
    assert protocols.read_asv(new, metadata, "eval").target.tolist() == [0.5]
    assert protocols.read_asv(new, metadata).target.tolist() == [0.5, 3.5]
    assert np.isfinite(protocols.read_asv(new, metadata, "eval").spoof).all()


@pytest.mark.parametrize(
    ("scores", "with_keys", "message"),
    [
        (
            "LA_1 LA_E_0 1\n",
            False,
            r"(?s)need --asv-keys.*1: unknown kind 'LA_E_0', expected targ",
        ),
        ("- target x\n", False, "line 1: score 'x', expected a finite number"),
        ("- target nan\n", False, "line 1: score 'nan', expected a finite number"),
        ("- target\n", False, "line 1: 2 fields, expected 3 .*: '- target'"),
        ("- target 1\n", False, "0 nontarget trials"),
        ("LA_1 LA_E_0 1\n", True, "has 1 trials, .* has 4"),
        ("- b 1\n" * 4, True, "4 trials of .* are on another line of .*: b, b, b, b"),
    ],
)
def test_bad_asv_scores_are_named(tmp_path, scores, with_keys, message):
    metadata = put(tmp_path, ASV_KEYS) if with_keys else None
    with pytest.raises(MixframeError, match=message):
        protocols.read_asv(put(tmp_path, scores, "asv.txt"), metadata)
