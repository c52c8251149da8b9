"""Fusion: what it gains, what it must not depend on, and files in and out."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.cli import main
from mixframe.metrics import calibration, detection, fusion
from mixframe.metrics.scorefiles import read_scores


def systems(seed, n=400, shifts=(1.0, 1.2, 1.5)):
    """Scores of independent systems, (n, systems) of either class."""
    rng = np.random.default_rng(seed)
    spoof = rng.normal(0, 1, (n, len(shifts)))
    return rng.normal(0, 1, (n, len(shifts))) + shifts, spoof


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_independent_systems_gain_on_other_trials(seed):
    fused = fusion.fit(*systems(seed))
    bonafide, spoof = systems(seed + 1_000_000, n=2000)
    best = min(detection.eer(b, s) for b, s in zip(bonafide.T, spoof.T, strict=True))
    assert detection.eer(fused(bonafide), fused(spoof)) < best
    assert detection.cllr(fused(bonafide), fused(spoof)) < 0.75


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_one_system_alone_is_its_calibration(scale):
    bonafide, spoof = (scale * scores for scores in systems(0, shifts=(1,)))
    alone = calibration.fit(bonafide[:, 0], spoof[:, 0])
    assert np.allclose(fusion.fit(bonafide, spoof)(bonafide), alone(bonafide[:, 0]), atol=1e-6)


@pytest.mark.parametrize("noise", [0, 1e-12, 1e-6])
def test_systems_that_say_the_same_share_one_weight(noise):
    bonafide, spoof = systems(0, shifts=(1,))
    rng = np.random.default_rng(1)
    both = [
        np.hstack([scores, 2 * scores + 3, scores + noise * rng.normal(size=scores.shape)])
        for scores in (bonafide, spoof)
    ]
    fused = fusion.fit(*both)
    assert np.abs(fused.weights).max() < 2
    alone = calibration.fit(bonafide[:, 0], spoof[:, 0])
    assert np.allclose(fused(both[0]), alone(bonafide[:, 0]), atol=1e-4)


def test_a_system_that_says_nothing_has_no_weight():
    bonafide, spoof = systems(0, shifts=(1,))
    silent = [np.hstack([scores, np.full_like(scores, 7)]) for scores in (bonafide, spoof)]
    assert fusion.fit(*silent).weights[1] == 0
    assert fusion.fit(np.ones((3, 2)), np.ones((4, 2))) == fusion.Fusion((0.0, 0.0), 0.0)


@pytest.mark.parametrize(
    ("bonafide", "spoof"),
    [
        ([[2.0, 0.0], [3.0, 1.0]], [[1.0, 0.0], [2.0, 1.0]]),
        # Neither system separates the classes, their sum does.
        ([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [[1.0, -2.0], [-2.0, 1.0], [0.0, 0.0]]),
    ],
)
def test_classes_that_are_separated_have_no_fusion(bonafide, spoof):
    with pytest.raises(MixframeError, match=r"separate the . bona fide from the . spoof"):
        fusion.fit(bonafide, spoof)


def test_bad_scores_are_refused_by_name():
    with pytest.raises(MixframeError, match="spoof scores: 1 NaN"):
        fusion.fit([[1.0, 2.0]], [[1.0, np.nan]])


# Files


def written(folder, name, seed, order=None):
    """Write keys and a score file for each of three systems; return their paths."""
    bonafide, spoof = systems(seed, n=100)
    scores = np.concatenate((bonafide, spoof))
    trials = np.array([f"{name}_{i:03d}" for i in range(len(scores))])
    keys = folder / f"{name}_keys.tsv"
    labels = np.repeat(["bonafide", "spoof"], 100)
    table = pd.DataFrame({"filename": trials, "cm-label": labels})
    table.to_csv(keys, sep="\t", index=False, lineterminator="\n")
    rows = np.arange(len(trials)) if order is None else order
    paths = []
    for number, column in enumerate(scores.T):
        paths.append(folder / f"{name}_{number}.tsv")
        table = pd.DataFrame({"filename": trials[rows], "cm-score": column[rows]})
        table.to_csv(paths[-1], sep="\t", index=False, lineterminator="\n")
    return keys, paths


def run(folder, order=None):
    keys, scores = written(folder, "eval", 1, order)
    dev_keys, dev = written(folder, "dev", 2, order)
    output = folder / "fused.tsv"
    options = ["--keys", keys, "--dev", *dev, "--dev-keys", dev_keys, "--output", output]
    result = CliRunner().invoke(main, ["fuse", *map(str, [*scores, *options])])
    return result, output


def test_files_are_fused_by_trial_whatever_their_order(tmp_path):
    result, output = run(tmp_path)
    assert result.exit_code == 0, result.output
    rates = [float(line.split()[0]) for line in result.output.splitlines()[1:]]
    assert rates[-1] < min(rates[:-1])
    fused, expected = read_scores(output), fusion.fit(*systems(2, n=100))
    assert fused["trial"].tolist() == [f"eval_{i:03d}" for i in range(200)]
    values = expected(np.concatenate(systems(1, n=100)))
    assert np.array_equal(fused["score"], values)
    before = output.read_bytes()
    run(tmp_path, np.random.default_rng(3).permutation(200))
    assert output.read_bytes() == before


def test_other_trials_are_refused(tmp_path):
    result, _ = run(tmp_path, np.arange(199))
    assert result.exit_code == 1
    assert "1 trials of the keys have no score: eval_199" in result.stderr


def test_every_system_needs_its_dev_scores(tmp_path):
    keys, scores = written(tmp_path, "eval", 1)
    options = ["--keys", keys, "--dev", scores[0], "--dev-keys", keys, "--output", "x"]
    result = CliRunner().invoke(main, ["fuse", *map(str, [*scores, *options])])
    assert result.exit_code == 2
    assert "3 score files, but 1 of the dev set" in result.output
