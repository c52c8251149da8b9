"""Command detect: files in, scores, timelines and pages out."""

import csv
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, read
from mixframe.bundle.analysis import Rule, TooLong, analyse, excerpts
from mixframe.bundle.detector import Detector
from mixframe.bundle.inputs import listed
from mixframe.cli import main
from mixframe.metrics import scorefiles
from tests.bundle.build import EVAL, FILES
from tests.bundle.test_stream import bad_files
from tests.conftest import tone

Bundle = Callable[[str], Path]


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["detect", *map(str, arguments)], input=stdin)


def detected(*arguments: object) -> dict[str, dict]:
    """Return the results by file name."""
    ran = run(*arguments, "--json", "-")
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return {Path(one["file"]).name: one for one in json.loads(ran.stdout)["results"]}


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A folder of recordings of 0.5, 0.8 and 2.5 seconds; the bundles hear 0.8."""
    folder = tmp_path / "speech"
    folder.mkdir()
    for name, seconds in (("a", 0.5), ("b", 0.8), ("long", 2.5)):
        wave = tone(int(seconds * SAMPLE_RATE), seed=ord(name[0]), loud=0.1)
        soundfile.write(folder / f"{name}.wav", wave, SAMPLE_RATE, "FLOAT")
    return folder


@pytest.mark.parametrize("system", ["lfcc", "lora", "conformer", "mfpt", "mfpt_fgfm"])
def test_utterances_get_the_scores_of_stage_score(
    bundle: Bundle, project: Path, tmp_path: Path, system: str
) -> None:
    detector = Detector.load(bundle(system))
    rows = manifest.read(project / FILES.manifest, [EVAL])
    scores = scorefiles.read_scores(project / FILES.scores(system, EVAL)).set_index("trial")
    heard = rows[rows["samples"] <= detector.max_samples]
    assert len(heard) > 2
    for ref, name in zip(manifest.refs(heard), heard["utterance"], strict=True):
        data = read(type(ref)(str(project / ref.path), ref.offset, ref.n_bytes))
        soundfile.write(tmp_path / f"{name}.flac", data, SAMPLE_RATE)
    for name, one in detected(tmp_path, "--model", bundle(system)).items():
        assert one["score"] == pytest.approx(scores.loc[Path(name).stem, "score"], abs=1e-5)
        assert len(one["windows"]) == 1


def test_results_do_not_depend_on_the_other_files(bundle: Bundle, speech: Path) -> None:
    model = bundle("mfpt")
    together = detected(speech, "--model", model)
    for name, one in together.items():
        assert detected(speech / name, "--model", model) == {name: one}


def test_a_long_recording_is_heard_in_windows(bundle: Bundle, speech: Path) -> None:
    model = bundle("mfpt")
    detector = Detector.load(model)
    wave, _ = soundfile.read(speech / "long.wav", dtype="float32")
    lowest = detected(speech / "long.wav", "--model", model)["long.wav"]
    mean = detected(speech / "long.wav", "--model", model, "--pool", "mean")["long.wav"]
    spans = [(w["start"], w["end"]) for w in lowest["windows"]]
    assert spans[0] == (0, 0.8)
    assert spans[-1][1] == 2.5
    assert len(spans) > 4
    expected = [detector.score(wave[round(a * 16000) : round(b * 16000)]) for a, b in spans]
    assert [w["score"] for w in lowest["windows"]] == pytest.approx(expected, abs=1e-6)
    assert lowest["score"] == pytest.approx(min(expected), abs=1e-6)
    assert mean["score"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_the_timeline_is_that_of_the_frames(bundle: Bundle, speech: Path) -> None:
    model = bundle("mfpt")
    detector = Detector.load(model)
    wave, _ = soundfile.read(speech / "b.wav", dtype="float32")
    frames = detector.contents.frames
    assert frames is not None
    over = detector.frames(wave) >= frames.threshold
    covered = np.zeros_like(over)
    middles = detector.frame_times(len(over)).mean(axis=1)
    result = detected(speech / "b.wav", "--model", model, "--min-region", 0)["b.wav"]
    for region in result["regions"]:
        inside = (middles >= region["start"]) & (middles < region["end"])
        assert region["score"] == pytest.approx(detector.frames(wave)[inside].mean(), abs=1e-5)
        covered |= inside
    assert np.array_equal(covered, over)
    longer = detected(speech / "b.wav", "--model", model, "--min-region", 9)["b.wav"]
    assert longer["regions"] == []
    every = detected(speech / "b.wav", "--model", model, "--frame-threshold", -99)["b.wav"]
    assert [(r["start"], r["end"]) for r in every["regions"]] == [(0.0, 0.8)]
    assert detected(speech / "b.wav", "--model", bundle("lora"))["b.wav"]["regions"] is None


def test_prior_and_costs_move_probability_and_decision(bundle: Bundle, speech: Path) -> None:
    model, file = bundle("mfpt"), speech / "a.wav"
    even = detected(file, "--model", model)["a.wav"]
    llr = even["llr"]
    assert llr == pytest.approx(Detector.load(model).llr(even["score"]))
    assert even["p_spoof"] == pytest.approx(1 / (1 + math.exp(llr)))
    assert even["decision"] == ("bonafide" if llr >= 0 else "spoof")
    likely = detected(file, "--model", model, "--prior", 0.9)["a.wav"]
    odds = 9 * math.exp(-llr)
    assert likely["p_spoof"] == pytest.approx(odds / (1 + odds))
    needed = math.exp(llr)
    for cost, decision in ((needed * 1.01, "spoof"), (needed * 0.99, "bonafide")):
        judged = detected(file, "--model", model, "--cost-accept", cost)["a.wav"]
        assert judged["decision"] == decision
        assert judged["p_spoof"] == even["p_spoof"]
        opposite = detected(file, "--model", model, "--cost-reject", 1 / cost)["a.wav"]
        assert opposite["decision"] == decision


def test_probabilities_of_extreme_scores_stay_probabilities() -> None:
    rule = Rule(prior=0.5)
    assert rule.p_spoof(5000) == 0
    assert rule.p_spoof(-5000) == 1


def test_without_calibration_the_threshold_of_dev_decides(
    bundle: Bundle, speech: Path, tmp_path: Path
) -> None:
    detector = Detector.load(bundle("mfpt"))
    with (speech / "a.wav").open("rb") as file:
        score = analyse(detector, file, "a", Rule())[0].score
        assert score is not None
        for threshold, decision in ((score - 0.1, "bonafide"), (score + 0.1, "spoof")):
            detector.contents = detector.contents.model_copy(
                update={"calibration": None, "threshold": threshold}
            )
            result, _ = analyse(detector, file, "a", Rule(prior=0.99))
            assert result.decision == decision
            assert (result.llr, result.p_spoof) == (None, None)
            assert [w.name for w in result.warnings if w.name == "uncalibrated"]


def test_files_that_cannot_be_read_do_not_stop_the_others(bundle: Bundle, speech: Path) -> None:
    said = bad_files(speech)
    soundfile.write(speech / "three.wav", np.zeros(3), SAMPLE_RATE)
    said["three.wav"] = "3 samples"
    (speech / "void").mkdir()
    os.mkfifo(speech / "pipe.wav")
    said |= {"gone.wav": "no such file", "void": "without a recording", "pipe.wav": "no regular"}
    named = [speech / name for name in said]
    ran = run(speech / "a.wav", *named, "--model", bundle("mfpt"))
    assert ran.exit_code == 1
    table = ran.stdout.splitlines()
    assert re.match(rf"{re.escape(str(speech))}/a\.wav +0\.50 ", table[1])
    for name, text in said.items():
        (line,) = [line for line in ran.stderr.splitlines() if f"/{name}: " in line]
        assert line.startswith("mixframe: ")
        assert text in line
        assert [row for row in table if f"/{name} " in row and row.endswith("unreadable")]


def test_names_that_are_no_text_are_judged_and_shown(
    bundle: Bundle, speech: Path, tmp_path: Path
) -> None:
    file = tmp_path / os.fsdecode(b"\xff\x1b[1m.wav")
    (speech / "a.wav").rename(file)
    outputs = [part for kind in ("json", "csv", "html") for part in (f"--{kind}", tmp_path / kind)]
    ran = run(tmp_path, "--model", bundle("mfpt"), *outputs, "--plot", tmp_path / "plots")
    assert ran.exit_code == 0
    assert "\ufffd?[1m.wav" in ran.stdout
    assert json.loads((tmp_path / "json").read_text())["results"][0]["file"].endswith("[1m.wav")


def test_the_exit_code_is_0_whatever_the_verdict_unless_asked(bundle: Bundle, speech: Path) -> None:
    strict = [speech / "a.wav", "--model", bundle("mfpt"), "--cost-accept", 1e9]
    assert run(*strict).exit_code == 0
    assert run(*strict, "--fail-on-spoof").exit_code == 3
    lenient = [speech / "a.wav", "--model", bundle("mfpt"), "--cost-reject", 1e9]
    assert run(*lenient, "--fail-on-spoof").exit_code == 0
    assert run(*strict, speech / "gone.wav", "--fail-on-spoof").exit_code == 3


def test_the_table_says_what_the_model_is_and_what_to_mind(
    bundle: Bundle, speech: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "still.wav", np.zeros(9600), SAMPLE_RATE)
    out = run(tmp_path / "still.wav", "--model", bundle("mfpt")).stdout
    assert f"{tmp_path}/still.wav: silence: 0.00 of 0.60 s" in out
    assert "mfpt: trained on" in out
    assert "12.50 % [5.00, 25.00] on eval_partial" in out


def test_csv_rttm_and_json_agree(
    bundle: Bundle, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (speech / "a.wav").rename(speech / "=1+1 a.wav")
    (speech / "bad.wav").write_text("no")
    monkeypatch.chdir(speech)
    names = ["=1+1 a.wav", "long.wav", "bad.wav"]
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "rttm")}
    options = [part for kind, path in out.items() for part in (f"--{kind}", path)]
    ran = run(*names, "--model", bundle("mfpt"), "--min-region", 0, *options)
    assert ran.exit_code == 1
    value = json.loads(out["json"].read_text())
    assert value["model"]["name"] == "mfpt"
    assert value["rule"] == {
        "prior": 0.5,
        "cost_accept": 1.0,
        "cost_reject": 1.0,
        "pool": "min",
        "min_region": 0.0,
        "frame_threshold": None,
        "threshold": 0.0,
    }
    rows = list(csv.DictReader(out["csv"].open()))
    assert [row["file"] for row in rows] == ["'=1+1 a.wav", "long.wav", "bad.wav"]
    for row, one in zip(rows[:2], value["results"], strict=False):
        assert float(row["llr"]) == one["llr"]
        assert row["decision"] == one["decision"]
        assert len(row["regions"].split()) == len(one["regions"])
        assert row["warnings"].split() == [w["name"] for w in one["warnings"]]
    assert rows[2]["score"] == ""
    assert rows[2]["error"].startswith("bad.wav: ")
    lines = [line.split() for line in out["rttm"].read_text().splitlines()]
    regions = [(one["file"], r) for one in value["results"][:2] for r in one["regions"]]
    assert len(lines) == len(regions) > 0
    for fields, (name, region) in zip(lines, regions, strict=True):
        assert fields[:3] == ["SPEAKER", name.replace(" ", "_"), "1"]
        assert float(fields[3]) == pytest.approx(region["start"], abs=1e-3)
        assert float(fields[4]) == pytest.approx(region["end"] - region["start"], abs=1.1e-3)
        assert fields[7] == "spoof"


def test_standard_output_takes_one_thing(bundle: Bundle, speech: Path) -> None:
    model = ["--model", bundle("mfpt")]
    assert run(speech, *model, "--csv", "-").stdout.splitlines()[0].startswith("file,seconds")
    both = run(speech, *model, "--csv", "-", "--json", "-")
    assert both.exit_code == 1
    assert "--json and --csv both go to standard output" in both.stderr
    frameless = run(speech, "--model", bundle("lora"), "--rttm", "-")
    assert "without a frame classifier" in frameless.stderr


def test_nothing_is_written_over_a_recording_or_a_device(
    bundle: Bundle, speech: Path, tmp_path: Path
) -> None:
    before = (speech / "a.wav").read_bytes()
    link = tmp_path / "link.json"
    link.symlink_to(speech / "a.wav")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    picture = tmp_path / "a.wav.png"
    picture.write_bytes(before)
    model = ["--model", bundle("mfpt")]
    for options, said in (
        (["--json", speech / "a.wav"], "is read by this command"),
        (["--json", link], "is read by this command"),
        (["--csv", fifo], "no regular file"),
        (["--html", tmp_path], "no regular file"),
        (["--csv", tmp_path / "x", "--json", tmp_path / "x"], "written twice"),
        ([picture, "--plot", tmp_path], "is read by this command"),
    ):
        refused = run(speech / "a.wav", *model, *options)
        assert refused.exit_code == 1
        assert said in refused.stderr
    assert (speech / "a.wav").read_bytes() == picture.read_bytes() == before


def test_folders_are_walked_and_lists_read(tmp_path: Path) -> None:
    below = tmp_path / "b" / "c"
    below.mkdir(parents=True)
    for name in ("z.WAV", "a.mp4", "notes.txt", ".hidden.wav", "b/c/x.flac", "b/._x.wav"):
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "y.wav").touch()
    (below / "up").symlink_to(tmp_path)
    expected = [tmp_path / "a.mp4", tmp_path / "z.WAV", below / "x.flac"]
    assert list(listed([str(tmp_path)], [])) == expected
    lines = [b"notes.txt\n", os.fsencode(tmp_path) + b"\r\n", b"\n", b"odd name \0\xff.wav"]
    assert list(listed(["-", "notes.txt"], lines)) == [
        Path("notes.txt"),
        *expected,
        Path("odd name "),
        Path(os.fsdecode(b"\xff.wav")),
    ]
    (tmp_path / "empty").mkdir()
    assert list(listed([str(tmp_path / "empty")], [])) == [tmp_path / "empty"]


def test_names_come_from_standard_input(bundle: Bundle, speech: Path) -> None:
    ran = run("-", "--model", bundle("mfpt"), "--csv", "-", stdin=f"{speech}/b.wav\n{speech}\n")
    files = [row["file"] for row in csv.DictReader(ran.stdout.splitlines())]
    assert files == [f"{speech}/{name}.wav" for name in ("b", "a", "long")]


def test_drawings_and_page(bundle: Bundle, speech: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    wave = tone(8000, 4)
    soundfile.write(other / "a.wav", wave, SAMPLE_RATE)
    evil = "<img src=x onerror=alert(1)>.wav"
    soundfile.write(other / evil, wave, SAMPLE_RATE)
    (other / "bad.wav").write_text("no")
    plots, page = tmp_path / "plots", tmp_path / "page.html"
    model = bundle("mfpt")
    ran = run(speech, other, "--model", model, "--plot", plots, "--html", page, "--min-region", 0)
    assert ran.exit_code == 1
    names = ["a.wav", "a.wav-2", "b.wav", "long.wav", evil]
    made = {path.name for path in plots.iterdir()}
    assert made == {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert (plots / "a.wav.png").read_bytes() != (plots / "a.wav-2.png").read_bytes()
    assert (plots / "a.wav.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<img" not in text
    assert "&lt;img src=x" in text
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", text)
    assert {address[:5] for address in addresses} <= {
        "data:",
        *(a[:5] for a in addresses if a[0] == "#"),
    }
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/\S+", "", text)
    assert text.count("<audio") == 5
    assert text.count("<svg") == 5
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert "neither libsndfile nor FFmpeg" in text


def test_a_long_recording_is_on_the_page_in_parts(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: Path
) -> None:
    from mixframe.bundle import page

    monkeypatch.setattr(page, "WHOLE_SECONDS", 1.0)
    detector = Detector.load(bundle("mfpt"))
    with (speech / "long.wav").open("rb") as file:
        for rule in (Rule(min_region=0.0), Rule(min_region=9.0)):
            result, _ = analyse(detector, file, "long", rule)
            sounds = page.players(file, result)
            if result.regions:
                spans = [(r.start, r.end) for r in result.regions[: page.MOST_PARTS]]
                for sound, (start, end) in zip(sounds, spans, strict=True):
                    assert sound.start <= start < end <= sound.end
            else:
                (sound,) = sounds
                lowest = min(result.windows, key=lambda window: window.score)
                assert (sound.start, sound.end) == (lowest.start, lowest.end)
        wave, _ = soundfile.read(speech / "long.wav", dtype="float32")
        part, whole = excerpts(file, "long", [(0.5, 1.25), (0, 9)])
        assert np.array_equal(part, wave[8000:20000])
        assert np.array_equal(whole, wave)


def test_the_longest_that_is_allowed(bundle: Bundle, speech: Path) -> None:
    detector = Detector.load(bundle("mfpt"))
    with (speech / "long.wav").open("rb") as file:
        assert analyse(detector, file, "long", Rule(), 2.5)[0].seconds == 2.5
        with pytest.raises(TooLong, match=r"long: longer than 2 s"):
            analyse(detector, file, "long", Rule(), 2.0)


def test_a_missing_bundle_is_named(speech: Path, tmp_path: Path) -> None:
    ran = run(speech, "--model", tmp_path / "none")
    assert ran.exit_code == 1
    assert f"{tmp_path}/none: no such folder" in ran.stderr


def test_verdicts_under_conditions_are_those_of_distorted_files(
    bundle: Bundle, speech: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "quiet: {kind: level, gain_db: -12}\nagain: {kind: polarity}\n"
        "noisy: {kind: noise, colour: white, snr_db: 0}\n"
    )
    files = [speech / "a.wav", speech / "b.wav"]
    ran = run(*files, "--model", bundle("lfcc"), "--under", own, "--json", "-")
    assert ran.exit_code == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert set(said["under"]) == {str(file) for file in files}
    for name, condition in (("quiet", "level"), ("noisy", "noise")):
        made = tmp_path / f"{condition}.wav"
        distort = ["distort", str(files[0]), str(made), "--condition", name]
        assert CliRunner().invoke(main, [*distort, "--conditions", str(own)]).exit_code == 0
        expected = detected(made, "--model", bundle("lfcc"))[made.name]
        [verdict] = [v for v in said["under"][str(files[0])] if v["condition"] == name]
        assert verdict["score"] == expected["score"]
        assert verdict["decision"] == expected["decision"]
    plain = detected(*files, "--model", bundle("lfcc"))
    assert [one["score"] for one in said["results"]] == [plain[f.name]["score"] for f in files]


def test_a_line_says_how_far_the_verdict_holds(bundle: Bundle, speech: Path) -> None:
    names = "level_minus_20db,white_snr0,opus_6k"
    ran = run(speech / "b.wav", "--model", bundle("lfcc"), "--under", names)
    assert ran.exit_code == 0, ran.stderr
    [line] = [text for text in ran.stdout.splitlines() if "conditions; score" in text]
    assert re.search(r"b\.wav: (bonafide|spoof) under [0-3] of 3 conditions; score [+-]", line)


def test_an_unknown_condition_is_named_before_anything_is_heard(
    bundle: Bundle, speech: Path
) -> None:
    ran = run(speech, "--model", bundle("lfcc"), "--under", "opus_12k,opus_13k")
    assert ran.exit_code == 1
    assert "no condition 'opus_13k'; expected some of mp3_16k" in ran.stderr
    assert "conditions; score" not in ran.stdout
