"""Score files: round trips, formats told by content, every mistake named with its line."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.metrics.protocols import read as read_keys
from mixframe.metrics.scorefiles import align, by_class, read_scores, sign_warning, write_scores

HEADER = "filename\tcm-score\n"
KEYS = "filename\tcm-label\n"


def put(tmp_path, text, name="scores.tsv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_asvspoof5_scores(tmp_path):
    path = put(tmp_path, HEADER + "E_2\t1.5\nE_1\t-3e-2\n")
    table = read_scores(path)
    assert table.to_dict("list") == {"trial": ["E_2", "E_1"], "score": [1.5, -0.03]}
    assert table["score"].dtype == np.float64


def test_2021_scores(tmp_path):
    path = put(tmp_path, "LA_E_2 1.5\nLA_E_1   -3\n\n")
    assert read_scores(path).to_dict("list") == {"trial": ["LA_E_2", "LA_E_1"], "score": [1.5, -3]}


def test_2019_scores(tmp_path):
    path = put(tmp_path, "LA_E_1 - bonafide 2\nLA_E_2 A07 spoof -1.25\n")
    assert read_scores(path).to_dict("list") == {
        "trial": ["LA_E_1", "LA_E_2"],
        "score": [2.0, -1.25],
        "label": ["bonafide", "spoof"],
    }


def test_keys(tmp_path):
    path = put(tmp_path, KEYS + "E_2\tspoof\nE_1\tbonafide\n")
    assert read_keys(path).to_dict("list") == {
        "trial": ["E_2", "E_1"],
        "label": ["spoof", "bonafide"],
    }


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = put(tmp_path, "\ufeff" + (HEADER + "a\t1\nb\t2\n").replace("\n", "\r\n"))
    assert read_scores(path)["trial"].tolist() == ["a", "b"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_scores_read_back_bit_for_bit(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp("scores") / "s.tsv"
    trials = [f"T {k}" for k in range(len(scores))]
    write_scores(path, trials, scores)
    table = read_scores(path)
    assert table["trial"].tolist() == trials
    assert table["score"].to_numpy().tobytes() == np.array(scores).tobytes()


LINES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["a", "b", "é", "", "a b"]), st.sampled_from("\t ,"))
        .map("".join)
        .flatmap(lambda start: st.sampled_from(["1", "-2.5e3", "nan", "x", ""]).map(start.__add__)),
        st.text(max_size=8),
    )
)


@given(head=st.sampled_from([HEADER, KEYS, "a 1\n", "a - spoof 1\n", ""]), lines=LINES)
def test_whatever_is_in_a_file_it_is_read_whole_or_refused(tmp_path_factory, head, lines):
    text = head + "\n".join(lines)
    path = put(tmp_path_factory.mktemp("scores"), text.encode("utf-8", "ignore").decode())
    try:
        table = read_scores(path)
    except MixframeError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        n_lines = path.read_text(encoding="utf-8").strip().count("\n") + 1
        assert len(table) == n_lines - (head == HEADER)
        assert table["trial"].is_unique
        assert np.isfinite(table["score"]).all()


def test_written_bytes(tmp_path):
    write_scores(tmp_path / "s.tsv", ["b", "a"], np.array([0.1, -2], dtype=np.float64))
    assert (tmp_path / "s.tsv").read_bytes() == b"filename\tcm-score\nb\t0.1\na\t-2.0\n"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["the file is empty, expected scores"]),
        ("\n \n", ["the file is empty"]),
        (HEADER, ["line 2: no trials in the file"]),
        (
            "filename cm-score\na\t1\n",
            ["'filename cm-score', expected the header 'filename\\t"],
        ),
        ("filename,cm-score\na,1\n", ["line 1: 'filename,", "line 2: 1 fields, expected 2"]),
        ("a\t1\nb\tx\n", ["line 1: 'a\\t1', expected the header", "line 2: score 'x', expected a"]),
        (HEADER + "a 1\n", ["line 2: 1 fields, expected 2 separated by tabs: 'a 1'"]),
        (HEADER + "a\t1\t2\n", ["line 2: 3 fields, expected 2"]),
        (HEADER + "a\t1\n\nb\t2\n", ["line 3: blank line"]),
        (
            HEADER + "a\tone\nb\t1_000\nc\t\nd\t1\n",
            ["2: score 'one'", "3: score '1_000'", "4: field"],
        ),
        (HEADER + "a\tnan\n", ["line 2: score 'nan', expected a finite number"]),
        (HEADER + "a\t-inf\n", ["line 2: score '-inf', expected a finite number"]),
        (HEADER + "a\t1e999\n", ["line 2: score '1e999', expected a finite number"]),
        (HEADER + "a\t1\nb\t1\na\t2\n", ["line 4: trial 'a' is on line 2 already"]),
        (HEADER + "\t1\n", ["line 2: field 1 (utterance): empty"]),
        (
            "a,1\nb,2\n",
            ["wrong separator (comma), 1 columns in 'a,1'; expected a tab-separated"],
        ),
        ("a;1\n", ["line 1: wrong separator (semicolon)"]),
        ("a b c\n", ["line 1: 3 columns in 'a b c'"]),
        ("a 1\nb\t2\n", ["line 2: 1 fields, expected 2 separated by single spaces"]),
        ("a 1\na 2\n", ["line 2: trial 'a' is on line 1 already"]),
        ("a 1\nb - spoof 2\n", ["line 2: 4 fields, expected 2"]),
        ("a - bona-fide 1\n", ["line 1: unknown label 'bona-fide', expected bonafide or spoof"]),
        (KEYS + "a\tspoof\n", ["'filename\\tcm-label', expected the header 'filename\\tcm-score'"]),
    ],
)
def test_bad_scores_are_named_with_their_line(tmp_path, text, messages):
    with pytest.raises(MixframeError) as caught:
        read_scores(put(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)
    assert str(tmp_path / "scores.tsv") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["the file is empty, expected keys"]),
        (
            KEYS + "a\tbona-fide\n",
            ["line 2: unknown label 'bona-fide', expected bonafide or spoof"],
        ),
        (KEYS + "a\tspoof\na\tspoof\n", ["line 3: trial 'a' is on line 2 already"]),
        ("a\tspoof\n", ["line 1: 'a\\tspoof', expected the header 'filename\\tcm-label'"]),
        (
            "filename cm-label\na spoof\n",
            ["1: 'filename cm-label', expect", "2: 1 fields, expected"],
        ),
        (HEADER + "a\t1\n", ["'filename\\tcm-score', expected the header 'filename\\tcm-label'"]),
    ],
)
def test_bad_keys_are_named_with_their_line(tmp_path, text, messages):
    with pytest.raises(MixframeError) as caught:
        read_keys(put(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)


def test_all_problems_are_in_one_message_of_twenty_lines(tmp_path):
    path = put(tmp_path, HEADER + "".join(f"t{k}\tx\n" for k in range(25)))
    with pytest.raises(MixframeError) as caught:
        read_scores(path)
    message = str(caught.value)
    assert "25 problems" in message
    assert message.count("expected a finite number") == 20
    assert "and 5 more" in message


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(MixframeError, match="no such file"):
        read_scores(tmp_path / "absent.tsv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MixframeError, match="line 1: byte 0xff is not UTF-8"):
        read_keys(tmp_path / "binary")


@pytest.mark.parametrize(
    ("trials", "scores", "message"),
    [
        ([], [], "0 trials"),
        (["a"], [1, 2], "1 trials, values of shape"),
        (["a", "a"], [1, 2], "1 trials are there already: 'a'"),
        (["a\tb"], [1], r"1 names of trials .* tabs or outer spaces: 'a\\tb'"),
        (["a", " b"], [1, 2], "1 names of trials .* tabs or outer spaces: ' b'"),
        ([""], [1], "1 names of trials are empty, .*: ''"),
        (["a", "b", "c"], [1, np.nan, np.inf], "2 of 3 scores are NaN or infinite: 'b', 'c'"),
    ],
)
def test_bad_scores_are_not_written(tmp_path, trials, scores, message):
    path = put(tmp_path, "earlier")
    with pytest.raises(MixframeError, match=message):
        write_scores(path, trials, scores)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["earlier"]


def scores_table(**scores):
    return pd.DataFrame({"trial": list(scores), "score": list(scores.values())})


def keys_table(**labels):
    return pd.DataFrame({"trial": list(labels), "label": list(labels.values())})


def test_align_follows_the_keys():
    keys = keys_table(a="spoof", b="bonafide", c="spoof").assign(speaker=["x", "y", "z"])
    table = align(scores_table(c=3.0, a=1.0, b=2.0), keys)
    assert table.to_dict("list") == {
        "trial": ["a", "b", "c"],
        "label": ["spoof", "bonafide", "spoof"],
        "speaker": ["x", "y", "z"],
        "score": [1.0, 2.0, 3.0],
    }
    bonafide, spoof = by_class(table)
    assert (bonafide.tolist(), spoof.tolist()) == ([2.0], [1.0, 3.0])


@pytest.mark.parametrize(
    ("scores", "keys", "message"),
    [
        ({"a": 1.0}, {"a": "spoof", "b": "bonafide"}, "1 trials of the keys have no score: b"),
        (
            dict.fromkeys("abcdefghi", 1.0),
            {"a": "spoof", "b": "bonafide"},
            "7 scores are for trials that are not in the keys: c, d, e, f, g and 2 more",
        ),
        ({"a": 1.0}, {"a": "spoof"}, "0 bonafide trials among 1 in the keys"),
        ({"a": 1.0}, {"a": "bonafide"}, "0 spoof trials among 1 in the keys"),
        ({"a": 1.0, "b": 1.0}, {"a": "spoof", "b": "fake"}, "label 'fake' in the keys, expected"),
        ({"a": np.nan, "b": 1.0}, {"a": "spoof", "b": "bonafide"}, "1 scores are NaN or inf.*: a"),
    ],
)
def test_align_refuses_by_name(scores, keys, message):
    with pytest.raises(MixframeError, match=message):
        align(scores_table(**scores), keys_table(**keys))


def test_align_refuses_repeated_trials():
    scores, keys = scores_table(a=1.0, b=2.0), keys_table(a="spoof", b="bonafide")
    with pytest.raises(MixframeError, match="1 trials are more than once in the scores: a"):
        align(pd.concat([scores, scores[:1]]), keys)
    with pytest.raises(MixframeError, match="2 trials are more than once in the keys: a, b"):
        align(scores, pd.concat([keys, keys]))


def test_align_names_missing_and_extra_trials_together():
    with pytest.raises(MixframeError) as caught:
        align(scores_table(a=1.0, x=1.0), keys_table(a="spoof", b="bonafide"))
    assert "have no score: b" in str(caught.value)
    assert "not in the keys: x" in str(caught.value)


def test_align_compares_the_labels_of_a_2019_file(tmp_path):
    scores = read_scores(put(tmp_path, "b - bonafide 1\na A07 spoof 0\n"))
    assert align(scores, keys_table(a="spoof", b="bonafide"))["score"].tolist() == [0, 1]
    with pytest.raises(MixframeError, match=r"2 labels of the score file .*: a, b"):
        align(scores, keys_table(a="bonafide", b="spoof"))


def test_sign_warning():
    assert sign_warning(0.5) is None
    warning = sign_warning(0.731)
    assert warning is not None
    assert "EER 73.10 % is above 50 %" in warning
    assert "sign" in warning


def test_scores_of_which_no_figures_can_be_made_are_refused():
    keys = pd.DataFrame({"trial": ["a", "b"], "label": ["bonafide", "spoof"]})
    align(keys.assign(score=[1e100, -1e100]).drop(columns="label"), keys)
    for score in (1e308, -1e308, 1.1e100):
        scores = keys.assign(score=[score, 0.0]).drop(columns="label")
        with pytest.raises(MixframeError, match=r"1 scores are above 1e\+100 in size: a"):
            align(scores, keys)
