"""Labels of fake regions and scores of frames, in the forms of their corpora, and their faults."""

import numpy as np
import pandas as pd
import pytest

from mixframe.base.errors import MixframeError
from mixframe.metrics.regionfiles import (
    BONAFIDE,
    NONSPEECH,
    SECOND,
    SPOOF,
    Stretch,
    fake_parts,
    read_frames,
    read_regions,
)

LLAMA = (
    "dev01-partial 5.6150 spoof 0.0000-0.3800-bonafide 0.3800-1.8100-spoof 1.81-5.615-bonafide\n"
    "dev-clean_84 2.0 bonafide 0.0-2.0-bonafide\n"
    "full_1 1.5 spoof 0.0-1.5-spoof\n"
)
FILES = {
    "llama": LLAMA,
    "had": (
        "HAD_test_00000003 0.00-1.43-T/1.43-2.02-F/2.02-4.03-T 0\nHAD_test_00000004 0.00-2.50-T 1\n"
    ),
    "partialedit": "E1/p225/x.wav,0.5,0.75,1.0,1.5,3.25\nE1/p226/y.wav,0,0.2,1.0\n",
    "rttm": (
        "SPEAKER a 1 0.0 0.4 <NA> <NA> bonafide <NA> <NA>\n"
        "SPEAKER a 1 0.4 0.6 <NA> <NA> spoof <NA> <NA>\n"
        "SPEAKER b 1 0.0 2.0 <NA> <NA> bonafide <NA> <NA>\n"
    ),
}
READ = {
    "llama": (
        ["dev01-partial", "dev-clean_84", "full_1"],
        [5.615, 2.0, 1.5],
        [[0.38, 1.81], [], [0, 1.5]],
    ),
    "had": (["HAD_test_00000003", "HAD_test_00000004"], [4.03, 2.5], [[1.43, 2.02], []]),
    "partialedit": (["E1/p225/x", "E1/p226/y"], [3.25, 1.0], [[0.5, 0.75, 1.0, 1.5], [0, 0.2]]),
    "rttm": (["a", "b"], [1.0, 2.0], [[0.4, 1.0], []]),
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_each_form_is_told_by_its_content(form, ends, tmp_path):
    table = read_regions(write(tmp_path / "labels", FILES[form].replace("\n", ends)))
    names, durations, regions = READ[form]
    assert table["utterance"].tolist() == names
    assert (table["duration"] / SECOND).tolist() == durations
    assert [[edge / SECOND for edge in row] for row in table["regions"]] == regions
    assert table["label"].tolist() == ["spoof" if row else "bonafide" for row in regions]


def test_a_folder_of_vad_files(tmp_path):
    write(tmp_path / "CON_E_1.vad", "0.0 0.5 2\n0.5 1.0 0\n1.0 1.2 2\n1.2 1.5 0\n1.5 2.0 1\n")
    write(tmp_path / "LA_E_1.vad", "0.0 1.0 1\n")
    table = read_regions(tmp_path)
    assert table["utterance"].tolist() == ["CON_E_1", "LA_E_1"]
    second = [SECOND * t for t in (0.5, 1.0, 1.2, 1.5)]
    assert table["regions"].tolist() == [second, []]
    filled = read_regions(tmp_path, "spoof")
    assert filled["regions"].tolist() == [[second[0], second[-1]], []]


@pytest.mark.parametrize(
    ("kinds", "regions"),
    [
        ((SPOOF, NONSPEECH, SPOOF), [0, 3]),
        ((SPOOF, NONSPEECH, NONSPEECH, SPOOF), [0, 4]),
        ((SPOOF, NONSPEECH, BONAFIDE, SPOOF), [0, 1, 3, 4]),
        ((NONSPEECH, SPOOF, NONSPEECH), [1, 2]),
        ((BONAFIDE, NONSPEECH, SPOOF, SPOOF), [2, 4]),
        ((NONSPEECH, BONAFIDE), []),
    ],
)
def test_nonspeech_is_fake_between_two_fake_parts_only(kinds, regions):
    stretches = [Stretch(i, i + 1, kind) for i, kind in enumerate(kinds)]
    assert fake_parts(stretches, "spoof") == regions
    alone = fake_parts(stretches, "bonafide")
    fake = [i for i, kind in enumerate(kinds) if kind == SPOOF]
    assert [i for s, e in zip(alone[::2], alone[1::2], strict=True) for i in range(s, e)] == fake


def test_rttm_of_fake_parts_only_does_not_know_durations(tmp_path):
    text = "SPEAKER a 1 0.4 0.6 <NA> <NA> spoof <NA> <NA>\n"
    table = read_regions(write(tmp_path / "labels.rttm", text))
    assert table["duration"].tolist() == [0]


@pytest.mark.parametrize("name", ["dev_seglab_0.02.npy", "labels.pkl"])
def test_a_pickle_is_refused_by_name_and_never_opened(name, tmp_path):
    with pytest.raises(MixframeError, match=f"{name}: labels as pickled"):
        read_regions(tmp_path / name)
    with pytest.raises(MixframeError, match=f"{name}: arrays and pickles are not read"):
        read_frames(tmp_path / name)


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("llama", "x 1.0 spoof 0.0-1.0", "'0.0-1.0', expected start-end-label"),
        ("llama", "x 1.0 fake 0.0-1.0-spoof", "unknown label 'fake'"),
        ("llama", "x 1.0 spoof 0.0-1.0-fake", "unknown label 'fake'"),
        ("llama", "x 1.0 bonafide 0.0-1.0-spoof", "the label bonafide with 1 fake parts"),
        ("llama", "x 1.0 spoof 0.0-1.0-bonafide", "the label spoof with 0 fake parts"),
        ("llama", "x 1.0 spoof 0.0-2.0-spoof", "ends at 2 s, after its 1 s"),
        ("llama", "x 1.0 spoof 0.5-0.2-spoof", "ends before it starts"),
        ("llama", "x 2 spoof 0-1.5-bonafide 1-2-spoof", "begins before 0 to 1.5 s"),
        ("llama", "x nan spoof 0.0-1.0-spoof", "time 'nan', expected seconds"),
        ("llama", "x 1.0 spoof", "3 fields"),
        ("llama", "", "0 fields"),
        ("llama", "full_1 1.0 spoof 0.0-1.0-spoof", "full_1 is on line 3 already"),
        ("had", "x 0.00-1.43-T 0", "the label spoof with 0 fake parts"),
        ("had", "x 0.00-1.43-X 0", "unknown label 'X'"),
        ("had", "x 0.00-1.43-T 2", "unknown label '2'"),
        ("had", "x 0.00-1.43-T", "2 fields"),
        ("partialedit", "E1/p/x.wav,0.5,1.0", "3 fields"),
        ("partialedit", "E1/p/x.wav,0.5,1.0,1.5,2.0", "5 fields"),
        ("partialedit", "E1/p/x.flac,0.5,1.0,2.0", "expected path.wav"),
        ("partialedit", "E1/p225/x.wav,0.5,0.75,2.0", "E1/p225/x is on line 1 already"),
        ("rttm", "SPEAKER c 1 0.0 x <NA> <NA> spoof <NA> <NA>", "time 'x'"),
        ("rttm", "SPEAKER c 1 0.0 1.0 <NA> <NA> fake <NA> <NA>", "unknown label 'fake'"),
        ("rttm", "SPKR-INFO c 1 0.0 1.0 <NA> <NA> spoof <NA> <NA>", "10 fields"),
        ("rttm", "SPEAKER a 1 0.5 1.0 <NA> <NA> bonafide <NA> <NA>", "begins before"),
    ],
)
def test_a_fault_is_named_with_its_line(form, line, message, tmp_path):
    lines = FILES[form].splitlines()
    path = write(tmp_path / "labels", "\n".join([*lines, line, lines[0].replace("a", "z")]) + "\n")
    with pytest.raises(MixframeError) as raised:
        read_regions(path)
    # An utterance of RTTM is named by its first line.
    number = 1 if "begins before" in message and form == "rttm" else len(lines) + 1
    faults = [text for text in str(raised.value).splitlines() if f"line {number}:" in text]
    assert any(str(path) in text and message in text for text in faults), raised.value


def test_a_fault_in_a_vad_file_is_named_with_its_line(tmp_path):
    write(tmp_path / "a.vad", "0.0 1.0 1\n")
    path = write(tmp_path / "b.vad", "0.0 1.0 1\n1.0 2.0 3\n")
    with pytest.raises(MixframeError, match=f"{path}, line 2: unknown label '3'"):
        read_regions(tmp_path)


@pytest.mark.parametrize("text", ["a b c\n", "trial,label\n", "CON_E_1 spoof\n"])
def test_another_form_is_refused(text, tmp_path):
    with pytest.raises(MixframeError, match=r"line 1: .*expected RTTM"):
        read_regions(write(tmp_path / "labels", text))


def test_an_empty_folder_or_file_is_refused(tmp_path):
    with pytest.raises(MixframeError, match=r"no \.vad files"):
        read_regions(tmp_path)
    with pytest.raises(MixframeError, match="the file is empty"):
        read_regions(write(tmp_path / "labels", "\n"))


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("header", ["", "utterance frame score\n"])
def test_frames_by_number(separator, header, tmp_path):
    text = f"{header}a 0 1.5\na 1 -2\nb 0 3e-1\n".replace(" ", separator)
    frames = read_frames(write(tmp_path / "frames", text))
    assert frames.utterances == ["a", "b"]
    assert frames.counts.tolist() == [2, 1]
    assert frames.starts is None
    assert frames.scores.tolist() == [1.5, -2.0, 0.3]


@pytest.mark.parametrize(
    "text", ["utterance start score\na 0 1\na 1 2\n", "a 0.0 1\na 1.0 2\n", "a 0.0 1\r\na 1 2\r\n"]
)
def test_frames_by_start(text, tmp_path):
    frames = read_frames(write(tmp_path / "frames", text))
    assert frames.starts.tolist() == [0, SECOND]


def test_frames_of_this_package(tmp_path):
    path = tmp_path / "frames.parquet"
    rows = {"utterance": ["a", "b"], "scores": [np.float32([1, 2]), np.float32([3])]}
    pd.DataFrame(rows).to_parquet(path)
    frames = read_frames(path)
    assert frames.scores.tolist() == [1, 2, 3]
    rows["scores"][1] = np.float32([np.nan])
    pd.DataFrame(rows).to_parquet(path)
    with pytest.raises(MixframeError, match="row 1: b: a score is NaN"):
        read_frames(path)
    pd.DataFrame({"utterance": ["a", "a"], "scores": rows["scores"]}).to_parquet(path)
    with pytest.raises(MixframeError, match="row 1: a comes twice"):
        read_frames(path)
    pd.DataFrame({"utterance": ["a"]}).to_parquet(path)
    with pytest.raises(MixframeError, match="no column scores"):
        read_frames(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a 0 1", "a 2 1"], "line 2: frame 2 of a, expected 1"),
        (["a 0 1", "a 0 1"], "line 2: frame 0 of a, expected 1"),
        (["a 1 1"], "line 1: frame 1 of a, expected 0"),
        (["a 0 1", "b 0 1", "a 1 1"], "line 3: a comes back"),
        (["a 0 1", "a 1 nan"], "line 2: score nan, expected a finite number"),
        (["a 0 1", "a 1 1e308"], r"line 2: score 1e\+308, expected at most 1e\+100 in size"),
        (["a 0 1", "a 1 inf", "b 0 inf"], "line 2: score inf.*2 lines"),
        (["a 0 1", "a 1 x"], "line 2: score 'x', expected a number"),
        (["a 0 1", "a x 1"], "line 2: place 'x', expected a number"),
        # Numbers for Python, not for Arrow.
        (["a 0 1", "a \u0661 1"], "line 2: place '\u0661', expected a number"),
        (["a \u0660 1", "a 1 1"], "line 1: place '\u0660', expected a number"),
        (["a 0 1", "a 1 1_0"], "line 2: score '1_0', expected a number"),
        (["a 0 1", "a 1"], "line 2: 2 fields, expected 3"),
        (["a 0 1", "a 1 2 3"], "line 2: 4 fields, expected 3"),
        (["a 0.5 1", "a 0.5 1"], "line 2: start 0.5 s"),
        (["a -0.5 1"], "line 1: start -0.5 s"),
        (["a 0"], "line 1: .*expected lines of 'utterance frame score'"),
        (["utterance time score", "a 0 1"], "line 1: .*header"),
        (["utterance frame score"], "line 2: no frames"),
        (["utterance frame score", "a 0 1", "a 7 1"], "line 3: frame 7"),
    ],
)
def test_a_fault_in_scores_is_named_with_its_line(lines, message, tmp_path):
    path = write(tmp_path / "frames.txt", "".join(f"{line}\n" for line in lines))
    with pytest.raises(MixframeError, match=message) as raised:
        read_frames(path)
    assert str(path) in str(raised.value)


def test_a_blank_first_line_is_no_known_form(tmp_path):
    path = write(tmp_path / "labels", f" \n{LLAMA}")
    with pytest.raises(MixframeError, match=r"labels, line 1: 0 columns in ' '; expected RTTM"):
        read_regions(path)
