"""Protocols of every corpus: real lines read, every bad line named, no line lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.corpora import PUBLISHED
from mixframe.corpora.kinds import KINDS
from mixframe.metrics.trialfiles import parse, read

REAL = {
    "asvspoof2019_la": [
        "LA_0079 LA_T_1138215 - - bonafide",
        "LA_0039 LA_E_2834763 - A11 spoof",
    ],
    "asvspoof2021_la": [
        "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
        "LA_0020 LA_E_6866159 none - bonafide bonafide notrim hidden",
    ],
    "asvspoof2021_df": [
        "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress "
        "traditional_vocoder - - - -",
        "TEF2 DF_E_2000026 mp3m4a vcc2020 bonafide bonafide notrim eval bonafide - - - -",
    ],
    "asvspoof5": [
        "T_4850 T_0000000000 F - - - AC3 A05 spoof -",
        "D_0461 D_0000000190 M - - - - bonafide bonafide -",
    ],
    "in_the_wild": ["0.wav,Alec Guinness,spoof", "4.wav,Christopher Hitchens,bona-fide"],
}


def write(tmp_path, kind, lines, head=True):
    header = [PUBLISHED[kind].form.header] if PUBLISHED[kind].form.header and head else []
    path = tmp_path / "protocol"
    path.write_text("".join(f"{line}\n" for line in header + lines))
    return path


def refused(tmp_path, kind, lines, n_trials=None):
    path = write(tmp_path, kind, lines)
    with pytest.raises(MixframeError) as error:
        parse(path, PUBLISHED[kind].form, n_trials)
    return str(error.value).replace(str(path), "P")


def test_every_corpus_has_a_kind():
    assert set(PUBLISHED) == set(REAL)
    assert set(PUBLISHED) < set(KINDS)


@pytest.mark.parametrize("kind", REAL)
def test_real_lines_read(tmp_path, kind):
    table = parse(write(tmp_path, kind, REAL[kind]), PUBLISHED[kind].form, 2)
    assert set(table["label"]) == {"bonafide", "spoof"}
    first = 2 if PUBLISHED[kind].form.header else 1
    assert table["line"].tolist() == [first, first + 1]
    if "attack" in table:
        assert table.loc[table["label"] == "bonafide", "attack"].tolist() == ["-"]


def test_all_columns_are_kept(tmp_path):
    kind = "asvspoof2021_df"
    row = parse(write(tmp_path, kind, REAL[kind]), PUBLISHED[kind].form).iloc[0].to_dict()
    assert row == {
        "speaker": "LA_0023",
        "utterance": "DF_E_2000011",
        "codec": "nocodec",
        "source": "asvspoof",
        "attack": "A14",
        "label": "spoof",
        "trim": "notrim",
        "subset": "progress",
        "vocoder": "traditional_vocoder",
        "task": "-",
        "team": "-",
        "gender_pair": "-",
        "language": "-",
        "line": 1,
    }
    kind = "in_the_wild"
    row = parse(write(tmp_path, kind, REAL[kind]), PUBLISHED[kind].form).iloc[0].to_dict()
    assert row == {"utterance": "0", "speaker": "Alec Guinness", "label": "spoof", "line": 2}


GOOD = "LA_0079 LA_T_1 - - bonafide"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["SPEAKER UTT - ATTACK KEY", GOOD], "P, line 1: unknown label 'KEY'.*is this a header"),
        ([GOOD, GOOD], "P, line 2: trial 'LA_T_1' is on line 1 already"),
        ([GOOD, "LA_0039 LA_T_2 - A11"], "P, line 2: 4 fields, expected 5 separated by single"),
        (["Alec Guinness LA_T_2 - A11 spoof"], "P, line 1: 6 fields.* name with a space in it"),
        ([GOOD, "LA_0039 LA_T_2 - A11 fake"], "P, line 2: unknown label 'fake', expected bonaf"),
        ([GOOD, "", GOOD.replace("_1", "_2")], "P, line 2: blank line"),
        (["LA_0079  - - bonafide"], r"P, line 1: field 2 \(utterance\): empty"),
        (["LA_0039 LA_T_2 - - spoof"], "P, line 1: a spoof trial with the attack '-'"),
        (["LA_0039 LA_T_2 - A01 bonafide"], "P, line 1: a bona fide trial with the attack 'A01'"),
        (["LA_0039 ../x - A01 spoof"], "P, line 1: utterance '../x' is no file name"),
    ],
)
def test_bad_lines_are_named(tmp_path, lines, expected):
    assert re.search(expected, refused(tmp_path, "asvspoof2019_la", lines))


def test_every_problem_is_in_one_message(tmp_path):
    text = refused(tmp_path, "asvspoof2019_la", ["a b", GOOD, "a b - A01 fake", GOOD], 5)
    found = [line.split(":")[0].strip() for line in text.splitlines()]
    assert found == ["4 problems in a protocol", *(f"P, line {n}" for n in (1, 3, 4, 4))]
    assert "the file ends after 4 trials, expected 5" in text


def test_a_wrong_count_is_named(tmp_path):
    text = refused(tmp_path, "asvspoof5", REAL["asvspoof5"], 182_357)
    assert "P, line 2: the file ends after 2 trials, expected 182,357" in text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"{GOOD}\r\n".encode(), "line 1: has a carriage return"),
        (b"\xef\xbb\xbf" + f"{GOOD}\n".encode(), "line 1: starts with a byte order mark"),
        (f"{GOOD}\nLA_0039 LA_T_2\0 - A11 spoof\n".encode(), "line 2: has a NUL byte"),
        (f"{GOOD}\n".encode() + b"\xe9 LA_T_2 - A11 spoof\n", "line 2: byte 0xe9 is not UTF-8"),
        (b"", "line 1: no trials"),
    ],
)
def test_files_in_another_encoding_are_refused(tmp_path, data, expected):
    path = tmp_path / "p.txt"
    path.write_bytes(data)
    with pytest.raises(MixframeError, match=expected):
        parse(path, PUBLISHED["asvspoof2019_la"].form)


def test_in_the_wild_needs_its_header_and_wav_names(tmp_path):
    path = write(tmp_path, "in_the_wild", REAL["in_the_wild"], head=False)
    with pytest.raises(MixframeError, match=r"line 1: .* expected the header 'file,speaker,label'"):
        parse(path, PUBLISHED["in_the_wild"].form)
    text = refused(tmp_path, "in_the_wild", ["7,Alec Guinness,spoof"])
    assert "P, line 2: '7' is no .wav file" in text


def test_an_unknown_subset_is_named(tmp_path):
    line = REAL["asvspoof2021_la"][0].replace(" eval", " evaluation")
    text = refused(tmp_path, "asvspoof2021_la", [line])
    assert "P, line 1: unknown subset 'evaluation', expected eval, progress, hidden" in text


FIELDS = st.sampled_from(
    [
        "LA_0079",
        "X_1",
        "X_2",
        "-",
        "",
        "A11",
        "spoof",
        "bonafide",
        "bona-fide",
        "eval",
        "é",
        "0.wav",
    ]
)


@given(
    kind=st.sampled_from(sorted(PUBLISHED)),
    lines=st.lists(
        st.one_of(
            st.lists(FIELDS, max_size=14).map(" ".join),
            st.lists(FIELDS, max_size=4).map(",".join),
            st.text(max_size=30),
        )
    ),
    real=st.booleans(),
    end=st.sampled_from(["\n", ""]),
)
def test_whatever_is_in_a_file_it_is_read_whole_or_refused(
    tmp_path_factory, kind, lines, real, end
):
    form = PUBLISHED[kind].form
    lines = ([form.header] if form.header else []) + (REAL[kind] if real else []) + lines
    path = tmp_path_factory.mktemp("p") / "protocol"
    path.write_bytes(("\n".join(lines) + end).encode("utf-8", "surrogatepass"))
    n_lines = path.read_bytes().count(b"\n") + (not path.read_bytes().endswith(b"\n"))
    table, problems = read(path, form)
    assert all(problem.startswith(f"{path}, line ") for problem in problems)
    if not problems:
        assert len(table) == n_lines - bool(form.header)
        assert table["utterance"].is_unique
        assert set(table["label"]) <= {"bonafide", "spoof"}


@given(data=st.binary(max_size=200), kind=st.sampled_from(sorted(PUBLISHED)))
def test_bytes_never_raise_anything_else(tmp_path_factory, data, kind):
    path = tmp_path_factory.mktemp("p") / "protocol"
    path.write_bytes(data)
    with pytest.raises(MixframeError):
        parse(path, PUBLISHED[kind].form)
