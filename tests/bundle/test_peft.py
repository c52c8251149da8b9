"""Bundles in the hands of PEFT and transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import AutoPeftModel, PeftModel
from transformers import AutoFeatureExtractor, AutoModel

from mixframe.bundle.detector import Detector
from tests.conftest import tone


def encoded(model, wave):
    """Return (T, D) frames of an encoder."""
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(wave)[None]).last_hidden_state[0].numpy()


@pytest.fixture
def wave():
    return tone(9000, 4)


@pytest.mark.parametrize("system", ["lora", "random", "mfpt"])
def test_peft_alone_gives_the_same_encoder(bundle, system, wave):
    folder = bundle(system)
    expected = encoded(Detector.load(folder, device="cpu").network.encoder, wave)
    plain = AutoModel.from_pretrained(folder / "encoder")
    assert np.abs(encoded(plain, wave) - expected).max() > 1e-3
    adapted = PeftModel.from_pretrained(plain, str(folder))
    np.testing.assert_allclose(encoded(adapted, wave), expected, atol=1e-6)


def test_auto_peft_model_finds_the_base_inside_the_bundle(bundle, wave, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    expected = encoded(Detector.load(bundle("mfpt"), device="cpu").network.encoder, wave)
    monkeypatch.chdir(bundle("mfpt"))
    assert json.loads(Path("adapter_config.json").read_text())["base_model_name_or_path"]
    np.testing.assert_allclose(
        encoded(AutoPeftModel.from_pretrained("."), wave), expected, atol=1e-6
    )


@pytest.mark.parametrize("system", ["conformer", "mfpt_fgfm"])
def test_a_fully_trained_encoder_is_a_plain_model(bundle, system, wave, project):
    folder = bundle(system)
    assert not (folder / "adapter_config.json").exists()
    expected = encoded(Detector.load(folder, device="cpu").network.encoder, wave)
    plain = AutoModel.from_pretrained(folder / "encoder")
    np.testing.assert_allclose(encoded(plain, wave), expected, atol=1e-6)
    untrained = AutoModel.from_pretrained(project / "results/tiny/pretrain")
    assert np.abs(encoded(untrained, wave) - expected).max() > 1e-3


def test_the_feature_extractor_is_that_of_the_detector(bundle, wave):
    extractor = AutoFeatureExtractor.from_pretrained(bundle("mfpt") / "encoder")
    values = extractor(wave, sampling_rate=16_000, return_tensors="np").input_values[0]
    assert values.mean() == pytest.approx(0, abs=1e-5)
    assert values.std() == pytest.approx(1, abs=1e-4)
