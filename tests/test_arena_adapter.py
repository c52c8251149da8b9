"""The adapter for the Arena's runner, against the contract of its documentation."""

import abc
import importlib
import inspect
import sys
from types import ModuleType

import numpy as np
import pytest

import mixframe.arena
from mixframe.base.errors import MixframeError
from mixframe.bundle.detector import Detector


class Heard:
    """In place of a detector: its score is the mean of a waveform."""

    def score(self, wave, rate):
        assert rate == 16000
        return float(wave.mean())


@pytest.fixture
def loaded(monkeypatch):
    folders = []
    monkeypatch.setattr(Detector, "load", lambda folder: folders.append(folder) or Heard())
    monkeypatch.setenv("MIXFRAME_MODEL", "some/bundle")
    model = mixframe.arena.Model()
    assert folders == []
    model.load()
    assert folders == ["some/bundle"]
    return model


def test_a_bundle_is_loaded_once_and_scores_in_order(loaded):
    assert (loaded.expected_sample_rate, loaded.name) == (16000, "mixframe")
    assert loaded.batch_size >= 1
    waves = [np.full(n, value, np.float32) for n, value in ((800, 0.5), (400, -0.25), (1600, 0))]
    assert loaded.score_batch(waves, [16000] * 3) == [0.5, -0.25, 0.0]
    assert loaded.score_batch(waves[1:2], [16000]) == [-0.25]
    loaded.unload()
    assert not hasattr(loaded, "detector")


def test_a_score_that_is_no_number_raises_so_that_the_runner_skips_it(loaded):
    with pytest.raises(MixframeError, match="not finite"):
        loaded.score_batch([np.array([np.nan], np.float32)], [16000])


def test_without_a_bundle_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("MIXFRAME_MODEL", raising=False)
    with pytest.raises(MixframeError, match="MIXFRAME_MODEL is not set"):
        mixframe.arena.Model().load()


def test_where_the_runner_is_installed_it_is_one_of_its_models(monkeypatch):
    class AntiSpoofingModel(abc.ABC):
        name, expected_sample_rate, batch_size = "unnamed", 8000, 7

        @abc.abstractmethod
        def load(self): ...

        @abc.abstractmethod
        def score_batch(self, audios, srs): ...

        def unload(self):
            return None

    package, module = ModuleType("speech_spoof_bench"), ModuleType("speech_spoof_bench.model")
    module.AntiSpoofingModel = AntiSpoofingModel
    monkeypatch.setitem(sys.modules, "speech_spoof_bench", package)
    monkeypatch.setitem(sys.modules, "speech_spoof_bench.model", module)
    try:
        model = importlib.reload(mixframe.arena).Model()
        assert isinstance(model, AntiSpoofingModel)
        assert not inspect.isabstract(type(model))
        assert model.expected_sample_rate == 16000
    finally:
        monkeypatch.undo()
        importlib.reload(mixframe.arena)
    assert not isinstance(mixframe.arena.Model(), AntiSpoofingModel)
