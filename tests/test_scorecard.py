"""`mixframe evaluate SCORES --keys KEYS` and `mixframe compare`, as typed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from pandas.testing import assert_frame_equal

from mixframe.cli import main
from mixframe.metrics import detection
from mixframe.metrics.protocols import join
from mixframe.metrics.registry import point_metrics
from mixframe.metrics.scorefiles import write_scores

COSTS = detection.DcfCosts(p_spoof=0.05, c_miss=1, c_fa=10)
JSON_KEYS = {
    "scores",
    "keys",
    "subset",
    "n_keys",
    "eer",
    "eer_low",
    "eer_high",
    "eer_threshold",
    "eer_rocch",
    "min_dcf",
    "min_dcf_low",
    "min_dcf_high",
    "act_dcf",
    "cllr",
    "n_bonafide",
    "n_spoof",
    "resampling",
    "conditions",
    "warnings",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with 2021 metadata, two systems' scores in the 2021 form, and a dev set."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines, good, poor = [], [], []
    for i in range(400):
        spoof = i % 4 > 0
        subset = "eval" if i < 300 else "progress"
        attack, key = (f"A0{7 + i % 3}", "spoof") if spoof else ("bonafide", "bonafide")
        codec = ("none", "alaw")[i // 5 % 2]
        lines.append(f"LA_{i // 8:04d} T{i} {codec} loc_tx {attack} {key} notrim {subset}\n")
        score = rng.normal() + (0 if spoof else 2)
        good.append(f"T{i} {score}\n")
        poor.append(f"T{i} {score + 3 * rng.normal()}\n")
    (tmp_path / "keys.txt").write_text("".join(lines))
    (tmp_path / "good.txt").write_text("".join(good))
    (tmp_path / "poor.txt").write_text("".join(poor))
    asv = [f"- target {x}\n" for x in rng.normal(3, 1, 50)]
    asv += [f"- nontarget {x}\n" for x in rng.normal(0, 1, 50)]
    asv += [f"A07 spoof {x}\n" for x in rng.normal(2, 1, 50)]
    (tmp_path / "asv.txt").write_text("".join(asv))
    names = [f"d{i}" for i in range(200)]
    labels = ["bonafide" if i % 2 else "spoof" for i in range(200)]
    dev = [2.0 * (label == "bonafide") + rng.normal() for label in labels]
    write_scores(tmp_path / "dev.tsv", names, dev)
    rows = [f"{name}\t{label}\n" for name, label in zip(names, labels, strict=True)]
    (tmp_path / "dev_keys.tsv").write_text("filename\tcm-label\n" + "".join(rows))
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def values(folder, name="good.txt"):
    keys = [line.split() for line in (folder / "keys.txt").read_text().splitlines()]
    scores = dict(line.split() for line in (folder / name).read_text().splitlines())
    inside = sorted((k for k in keys if k[7] == "eval"), key=lambda k: k[1])
    return tuple(
        np.array([float(scores[k[1]]) for k in inside if k[5] == label])
        for label in ("bonafide", "spoof")
    )


def test_the_published_subset_is_evaluated_by_speaker(folder):
    done = call("evaluate", "good.txt", "--keys", "keys.txt", "--json", "out.json")
    assert done.exit_code == 0
    figures = json.loads((folder / "out.json").read_text())
    assert set(figures) == JSON_KEYS
    bonafide, spoof = values(folder)
    expected = point_metrics(detection.Sample(bonafide, spoof), COSTS)
    assert {key: figures[key] for key in expected} == expected
    assert figures["subset"] == "eval"
    assert figures["resampling"] == {
        "unit": "speaker",
        "n_units": 38,
        "resamples": 1000,
        "level": 0.95,
        "seed": 0,
    }
    assert figures["eer_low"] <= figures["eer"] <= figures["eer_high"]
    for text in (
        "subset eval (300 of 400 trials)",
        "75 bona fide, 225 spoof",
        "1,000 resamples by speaker (38), seed 0",
        f"{100 * figures['eer']:.2f}  [{100 * figures['eer_low']:.2f}, ",
    ):
        assert text in done.stdout
    assert done.stderr == ""


def test_breakdowns_asv_scores_and_calibration(folder):
    done = call(
        *("evaluate", "good.txt", "--keys", "keys.txt", "--json", "-", "--resamples", "20"),
        *("--by", "attack,codec", "--asv", "asv.txt"),
        *("--dev", "dev.tsv", "--dev-keys", "dev_keys.tsv", "--unit", "trial"),
    )
    figures = json.loads(done.stdout)
    assert list(figures["conditions"]) == ["attack", "codec"]
    assert list(figures["conditions"]["attack"]) == ["A07", "A08", "A09"]
    assert sum(e["n_spoof"] for e in figures["conditions"]["attack"].values()) == 225
    assert {e["n_bonafide"] for e in figures["conditions"]["attack"].values()} == {75}
    assert sum(e["n_bonafide"] for e in figures["conditions"]["codec"].values()) == 75
    assert 0 < figures["min_tdcf"] < 1
    assert figures["calibrated"]["cllr"] < figures["cllr"]
    assert figures["calibrated"]["slope"] == pytest.approx(2, abs=0.7)
    text = call("evaluate", "good.txt", "--keys", "keys.txt", "--by", "codec", "--resamples", "9")
    assert text.stdout.splitlines()[-3].split()[:3] == ["codec", "bona", "fide"]
    assert text.stdout.splitlines()[-1].startswith("none ")


def test_the_same_figures_whatever_the_workers_and_the_order_of_the_rows(folder):
    options = ("--keys", "keys.txt", "--json", "-", "--resamples", "60")
    one = json.loads(call("evaluate", "good.txt", *options, "--workers", "1").stdout)
    table = join(folder / "good.txt", folder / "keys.txt").table
    for name in ("good.txt", "keys.txt"):
        rows = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(reversed(rows)))
    assert json.loads(call("evaluate", "good.txt", *options, "--workers", "3").stdout) == one
    # Cllr is a sum: it shows the order in its last bit, for one order in ten.
    assert_frame_equal(join(folder / "good.txt", folder / "keys.txt").table, table)


def test_ties_have_their_official_rate_beside(folder):
    (folder / "good.txt").write_text("".join(f"T{i} 1\n" for i in range(400)))
    figures = json.loads(call("evaluate", "good.txt", "--keys", "keys.txt", "--json", "-").stdout)
    assert (figures["eer"], figures["eer_official_sort"]) == (0.5, 1.0)


def test_a_swapped_sign_and_few_speakers_are_warned_about(folder):
    rows = [line.split() for line in (folder / "good.txt").read_text().splitlines()]
    (folder / "good.txt").write_text("".join(f"{t} {-float(s)}\n" for t, s in rows))
    done = call("evaluate", "good.txt", "--keys", "keys.txt", "--unit", "codec")
    assert done.exit_code == 0
    assert "the sign of the scores may be swapped" in done.stderr
    assert "the intervals rest on 2 values of codec" in done.stderr


def test_compare_says_what_the_trials_support(folder):
    done = call("compare", "good.txt", "poor.txt", "--keys", "keys.txt", "--json", "out.json")
    figures = json.loads((folder / "out.json").read_text())
    rates = [detection.eer(*values(folder, name)) for name in ("good.txt", "poor.txt")]
    assert (figures["eer"]["first"], figures["eer"]["second"]) == tuple(rates)
    assert figures["eer"]["difference"] == rates[0] - rates[1] < 0
    assert figures["eer"]["high"] < 0
    assert figures["eer"]["p_value"] == pytest.approx(2 / 1001)
    assert "The EER of the first system is lower (p at most 0.05)." in done.stdout
    same = call("compare", "good.txt", "good.txt", "--keys", "keys.txt", "--resamples", "10")
    assert "do not tell the two EERs apart" in same.stdout
    assert "1.0000" in same.stdout


@pytest.mark.parametrize(
    ("replace", "options", "message"),
    [
        (("T7 ", "T6 "), (), "trial 'T6' is on line 7 already"),
        (("T7 ", "X7 "), (), "1 trials of the keys have no score: T7"),
        (("T7 ", "X7 "), (), "1 scores are for trials that are not in the keys: X7"),
        (("T7 ", "T7,"), (), "good.txt, line 8: 1 fields, expected 2 separated by single spaces"),
        (("T7 ", "T7 nan #"), (), "good.txt, line 8: 3 fields, expected 2 separated by single"),
        ((), ("--by", "sex"), "--by sex: no such column; expected one of speaker, codec"),
        ((), ("--unit", "sex"), "--unit sex: no such column"),
        ((), ("--subset", "x"), "--subset x: expected one of eval, progress, or all"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_1(folder, replace, options, message):
    text = (folder / "good.txt").read_text()
    if replace:
        text = text.replace("\n" + replace[0], "\n" + replace[1])
    (folder / "good.txt").write_text(text)
    done = call("evaluate", "good.txt", "--keys", "keys.txt", "--json", "out.json", *options)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert not (folder / "out.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "good.txt"],
        ["evaluate", "--keys", "keys.txt"],
        ["evaluate", "good.txt", "--keys", "keys.txt", "--system", "mfpt"],
        ["evaluate", "good.txt", "--keys", "keys.txt", "--dev", "dev.tsv"],
        ["evaluate", "good.txt", "--keys", "keys.txt", "--asv-keys", "keys.txt"],
    ],
)
def test_options_that_do_not_go_together(folder, arguments):
    assert call(*arguments).exit_code == 2


def test_no_library_of_training_is_imported(folder):
    code = (
        "import sys; from click.testing import CliRunner; from mixframe.cli import main\n"
        "arguments = 'evaluate good.txt --keys keys.txt --resamples 5 --by attack'.split()\n"
        "assert CliRunner().invoke(main, arguments).exit_code == 0\n"
        "names = ('torch', 'transformers', 'sklearn', 'matplotlib', 'soundfile', 'pydantic')\n"
        "print([m for m in names if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
