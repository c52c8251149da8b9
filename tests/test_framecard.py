"""`mixframe evaluate --frames`: figures, text and JSON of frame scores of any system."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mixframe.cli import main
from mixframe.metrics import detection

N_FRAMES = 50
STEP = 0.02


def write_set(folder, name, n=24, seed=0):
    """Write scores and labels of n utterances of a second; every third one is bona fide."""
    rng = np.random.default_rng(seed)
    scores, labels, protocol = [], [], []
    for i in range(n):
        truth = np.zeros(N_FRAMES, dtype=bool)
        for part in range(i % 3):
            start = 5 + 20 * part
            truth[start : start + 2 + i % 12] = True
        values = rng.normal(1, 1, N_FRAMES) - 2.5 * truth
        utterance = f"{name}{i:03d}"
        edges = [0, *(np.flatnonzero(np.diff(truth)) + 1), N_FRAMES]
        parts = [
            f"{s * STEP:.2f}-{e * STEP:.2f}-{'spoof' if truth[s] else 'bonafide'}"
            for s, e in pairwise(edges)
        ]
        label = "spoof" if truth.any() else "bonafide"
        labels.append(f"{utterance} {N_FRAMES * STEP:.2f} {label} {' '.join(parts)}\n")
        attack = "-" if label == "bonafide" else f"A{i % 2}"
        protocol.append(f"S{i % 7} {utterance} - {attack} {label}\n")
        scores += [f"{utterance}\t{j}\t{float(v)!r}\n" for j, v in enumerate(values)]
    paths = [folder / f"{name}.{end}" for end in ("frames", "labels", "keys")]
    for path, lines in zip(paths, (scores, labels, protocol), strict=True):
        path.write_text("".join(lines))
    return paths


@pytest.fixture
def files(tmp_path):
    return write_set(tmp_path, "eval"), write_set(tmp_path, "dev", seed=1)


def evaluate(*arguments):
    done = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


def figures_of(frames, labels, *more):
    done = evaluate(
        "--frames", frames, "--regions", labels, "--resamples", 40, "--json", "-", *more
    )
    return json.loads(done.stdout)


def test_figures_of_equal_pieces_are_those_of_frames(files):
    (frames, labels, _), _ = files
    figures = figures_of(frames, labels)
    table = pd.read_csv(frames, sep="\t", header=None, names=["u", "i", "s"])
    fake = []
    for line in labels.read_text().splitlines():
        for part in line.split()[3:]:
            start, end, kind = part.split("-")
            fake += [kind == "spoof"] * round((float(end) - float(start)) / STEP)
    scores, truth = table["s"].to_numpy(), np.array(fake)
    eer = detection.eer(scores[~truth], scores[truth])
    assert figures["range_eer"] == eer
    assert figures["segments"]["0.02"]["eer"] == eer
    assert figures["range_eer_low"] < eer < figures["range_eer_high"]
    assert figures["n_spoof"] == 16
    assert figures["n_regions"] == 24
    assert figures["spoof_seconds"] == pytest.approx(truth.sum() * STEP)
    assert figures["resampling"]["unit"] == "utterance"
    lowest = scores.reshape(-1, N_FRAMES).min(axis=1)
    spoofed = truth.reshape(-1, N_FRAMES).any(axis=1)
    assert figures["detection"]["eer"] == detection.eer(lowest[~spoofed], lowest[spoofed])
    groups = figures["detection"]["by_number_of_regions"]
    assert {name: entry["n_spoof"] for name, entry in groups.items()} == {"1": 8, "2": 8}
    lengths = figures["detection"]["by_longest_region"]
    assert sum(entry["n_spoof"] for entry in lengths.values()) == 16


def test_every_resolution_stands_beside_the_others_and_dev_decides(files):
    (frames, labels, _), (dev_frames, dev_labels, _) = files
    more = ["--dev-frames", dev_frames, "--dev-regions", dev_labels]
    figures = figures_of(frames, labels, "--resolution", "0.02,0.16", *more)
    assert set(figures["segments"]) == {"0.02", "0.16"}
    assert figures["segments"]["0.16"]["n_spoof"] < figures["segments"]["0.02"]["n_spoof"]
    of_dev = figures_of(dev_frames, dev_labels)["segments"]["0.02"]
    entry = figures["segments"]["0.02"]
    assert entry["dev_threshold"] == of_dev["eer_threshold"]
    assert 0 < entry["precision"] < 1
    assert 0 < entry["run_f1"] < 1
    strict = figures_of(frames, labels, "--min-iou", 1, *more)["segments"]["0.02"]
    assert strict["run_f1"] < entry["run_f1"]
    assert strict["f1"] == entry["f1"]


def test_keys_bring_speakers_and_conditions(files):
    (frames, labels, keys), _ = files
    figures = figures_of(frames, labels, "--keys", keys, "--by", "attack,speaker")
    assert figures["resampling"]["unit"] == "speaker"
    assert figures["resampling"]["n_units"] == 7
    assert any("rest on 7 values of speaker" in warning for warning in figures["warnings"])
    attacks = figures["conditions"]["attack"]
    assert set(attacks) == {"A0", "A1"}
    assert all(entry["n_bonafide"] == 8 for entry in attacks.values())
    assert sum(entry["n_spoof"] for entry in attacks.values()) == 16
    speakers = figures["conditions"]["speaker"]
    assert sum(entry["n_bonafide"] for entry in speakers.values()) == 8


def test_the_order_of_lines_does_not_matter(files, tmp_path):
    (frames, labels, _), _ = files
    other = tmp_path / "other.labels"
    other.write_text("".join(sorted(labels.read_text().splitlines(keepends=True))[::-1]))
    first, second = figures_of(frames, labels), figures_of(frames, other)
    assert {**first, "regions": ""} == {**second, "regions": ""}


def test_the_step_says_how_long_a_frame_is(files):
    (frames, labels, _), _ = files
    done = evaluate("--frames", frames, "--regions", labels, "--resamples", 5, "--step", 0.01)
    assert "is --step right?" in done.stderr
    assert (
        "is --step right?"
        not in evaluate("--frames", frames, "--regions", labels, "--resamples", 5).stderr
    )


def test_nonspeech_is_a_choice(tmp_path):
    vad, frames = tmp_path / "vad", tmp_path / "frames.txt"
    vad.mkdir()
    (vad / "a.vad").write_text("0.0 0.2 0\n0.2 0.4 2\n0.4 0.6 0\n0.6 1.0 1\n")
    (vad / "b.vad").write_text("0.0 1.0 1\n")
    frames.write_text("".join(f"{u} {i} {i}\n" for u in "ab" for i in range(50)))
    assert figures_of(frames, vad)["spoof_seconds"] == pytest.approx(0.4)
    assert figures_of(frames, vad, "--nonspeech", "spoof")["spoof_seconds"] == pytest.approx(0.6)


def test_rttm_of_fake_parts_leaves_clean_utterances_out(tmp_path):
    rttm, frames = tmp_path / "labels.rttm", tmp_path / "frames.txt"
    rttm.write_text("SPEAKER a 1 0.2 0.3 <NA> <NA> spoof <NA> <NA>\n")
    frames.write_text("".join(f"{u} {i} {i}\n" for u in "ab" for i in range(50)))
    done = evaluate("--frames", frames, "--regions", rttm, "--resamples", 5)
    assert "1 scored utterances have no line" in done.stderr
    assert "2 utterances" in done.stdout


def test_a_manifest_has_regions_too(tmp_path):
    manifest, frames = tmp_path / "manifest.parquet", tmp_path / "frames.txt"
    rows = [
        ("a", "eval", "spoof", [3200, 6400]),
        ("b", "eval", "bonafide", []),
        ("c", "dev", "spoof", []),
    ]
    table = pd.DataFrame(rows, columns=["utterance", "set", "label", "regions"]).assign(
        samples=16_000, subset="-", speaker="s", attack="-"
    )
    table.to_parquet(manifest)
    frames.write_text("".join(f"{u} {i} {i}\n" for u in "abc" for i in range(50)))
    figures = figures_of(frames, manifest)
    assert (figures["subset"], figures["n_utterances"]) == ("eval", 2)
    assert figures["spoof_seconds"] == pytest.approx(0.2)
    # A spoof of which nothing is told is fake from end to end.
    every = figures_of(frames, manifest, "--subset", "all")
    assert every["spoof_seconds"] == pytest.approx(1.2)


def test_the_text_has_rates_in_percent(files):
    (frames, labels, keys), (dev_frames, dev_labels, _) = files
    more = ["--dev-frames", dev_frames, "--dev-regions", dev_labels]
    done = evaluate(
        "--frames", frames, "--regions", labels, "--resamples", 40, "--keys", keys, *more
    )
    figures = figures_of(frames, labels)
    assert f"{100 * figures['range_eer']:.2f}" in done.stdout
    for words in ("by duration (range)", "segments of 0.02 s", "longest fake region", "recall"):
        assert words in done.stdout
    assert "intervals  95 %, 40 resamples by speaker (7), seed 0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--frames", "x"], 2, "need --frames and --regions"),
        (["--regions", "x"], 2, "need --frames and --regions"),
        (["--step", "0.02"], 2, "need --frames and --regions"),
        (["s", "--frames", "x", "--regions", "y"], 2, "do not go with --frames"),
        (["--frames", "x", "--regions", "y", "--dev-frames", "z"], 2, "goes with --dev-regions"),
        (["--frames", "x", "--regions", "y", "--resolution", "a"], 2, "no seconds"),
        (["--frames", "x", "--regions", "y"], 1, "y: no such file"),
    ],
)
def test_options_that_do_not_go_together(arguments, code, message):
    done = CliRunner().invoke(main, ["evaluate", *arguments])
    assert done.exit_code == code
    assert message in done.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resolution", "0"], "--resolution: 0.0 s, expected seconds above 0"),
        (["--unit", "speaker"], "--unit speaker: no such column"),
        (["--by", "codec"], "--by codec: no such column"),
        (["--subset", "eval"], "no subsets are known"),
        (["--min-iou", "2", "--dev-frames", "F", "--dev-regions", "R"], "min_iou is 2"),
    ],
)
def test_what_cannot_be_evaluated_is_said(files, more, message):
    (frames, labels, _), _ = files
    more = [{"F": str(frames), "R": str(labels)}.get(word, word) for word in more]
    arguments = ["evaluate", "--frames", str(frames), "--regions", str(labels), *more]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert message in done.output


def test_torch_is_not_imported():
    code = "import sys, mixframe.metrics.framecard; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
