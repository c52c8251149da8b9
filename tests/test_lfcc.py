"""The classical row: likelihoods as scikit-learn's, and classes that differ are told apart."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.base.errors import MixframeError
from mixframe.metrics import detection
from mixframe.training.systems import lfcc

PARAMS = lfcc.Lfcc(
    kind="lfcc",
    n_filter=20,
    n_lfcc=8,
    n_fft=512,
    hop=160,
    components=3,
    iterations=20,
    tolerance=1e-3,
    max_frames=5000,
)


def test_the_likelihood_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((400, 5)) * rng.uniform(0.5, 3, 5)
    model = GaussianMixture(3, covariance_type="diag", random_state=0).fit(frames)
    ours = lfcc.Mixture(model.weights_, model.means_, model.covariances_)
    assert ours.log_likelihood(frames) == pytest.approx(model.score(frames), abs=1e-9)


def test_loud_tones_are_told_from_quiet_ones_and_models_survive_their_file(make_manifest, tmp_path):
    table = make_manifest({"train": 8, "dev": 6})
    refs, samples = manifest.refs(table), table["samples"].tolist()
    frames = lfcc.features(refs, samples, PARAMS, 10.0, read)
    assert all(f.shape[1] == 24 for f in frames)

    def rows(name, label):
        wanted = (table["set"] == name) & (table["label"] == label)
        return [frames[i] for i in np.flatnonzero(wanted)]

    mixtures = {
        label: lfcc.fit_mixture(rows("train", label), PARAMS, 0) for label in manifest.LABELS
    }
    lfcc.save_mixtures(mixtures, tmp_path)
    loaded = lfcc.load_mixtures(tmp_path, PARAMS)
    dev = {label: rows("dev", label) for label in manifest.LABELS}
    scores = {x: lfcc.log_ratios(loaded, dev[x]) for x in dev}
    again = lfcc.log_ratios(mixtures, dev["spoof"])
    assert np.array_equal(scores["spoof"], again)
    assert detection.eer(scores["bonafide"], scores["spoof"]) < 0.2


def test_mixtures_that_are_none_or_of_other_features_are_named(tmp_path):
    whole = {
        label: lfcc.Mixture(np.ones(2) / 2, np.zeros((2, 24)), np.ones((2, 24)))
        for label in manifest.LABELS
    }
    lfcc.save_mixtures(whole, tmp_path)
    assert lfcc.load_mixtures(tmp_path, PARAMS)
    bad = lfcc.Mixture(np.ones(3) / 3, np.zeros((2, 24)), np.ones((2, 24)))
    wide = lfcc.Mixture(np.ones(2) / 2, np.zeros((2, 30)), np.ones((2, 30)))
    none = lfcc.Mixture(np.ones(0), np.zeros((0, 24)), np.ones((0, 24)))
    for mixtures in (
        {"bonafide": whole["bonafide"]},
        *({**whole, "spoof": one} for one in (bad, wide, none)),
    ):
        lfcc.save_mixtures(mixtures, tmp_path)
        says = r"model\.safetensors: no mixture of spoof over 24 features: .* the shapes \("
        with pytest.raises(MixframeError, match=says):
            lfcc.load_mixtures(tmp_path, PARAMS)
