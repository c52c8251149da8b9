"""Whole detectors as models of transformers: equal to them, and no need of mixframe."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForAudioClassification, pipeline

from mixframe.base.errors import MixframeError
from mixframe.bundle.classifier import write_classifier
from mixframe.bundle.detector import Detector
from mixframe.cli import main
from mixframe.training.data import pad
from tests.conftest import tone

LENGTHS = (400, 3000, 16_000, 40_000)
"""One frame, shorter and longer than what is heard."""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Code that is loaded is copied into a folder of its own."""
    for name in ("transformers.dynamic_module_utils", "transformers.utils.hub"):
        monkeypatch.setattr(f"{name}.HF_MODULES_CACHE", str(tmp_path / "modules"), raising=False)


@pytest.mark.parametrize("system", ["lora", "mfpt"])
def test_logits_are_those_of_the_detector(bundle, system, tmp_path, modules):
    write_classifier(bundle(system), tmp_path / "model")
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert {name for name in files if name.endswith(".py")} == {"modeling_mixframe.py"}
    model = AutoModelForAudioClassification.from_pretrained(
        tmp_path / "model", trust_remote_code=True
    ).eval()
    detector = Detector.load(bundle(system), device="cpu")
    waves = [tone(length, seed=length) for length in LENGTHS]
    with torch.inference_mode():
        for wave in waves:
            padded, lengths = pad([wave[: detector.max_samples]], detector.network.backbone)
            expected = detector.network(padded, lengths)
            logits = model(torch.from_numpy(wave)[None]).logits
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
            score = float(logits[0, 1] - logits[0, 0])
            assert score == pytest.approx(detector.score(wave), abs=2e-5)
        together = torch.zeros(2, LENGTHS[-1])
        mask = torch.zeros(2, LENGTHS[-1], dtype=torch.long)
        for row, wave in enumerate((waves[1], waves[3])):
            together[row, : wave.size], mask[row, : wave.size] = torch.from_numpy(wave), 1
        batch = model(together, attention_mask=mask, labels=torch.tensor([0, 1]))
        alone = [model(torch.from_numpy(wave)[None]).logits for wave in (waves[1], waves[3])]
    torch.testing.assert_close(batch.logits, torch.cat(alone), atol=1e-6, rtol=0)
    assert batch.loss > 0


def test_the_pipeline_of_transformers_names_the_classes(bundle, tmp_path, modules):
    write_classifier(bundle("mfpt"), tmp_path / "model")
    judge = pipeline("audio-classification", str(tmp_path / "model"), trust_remote_code=True)
    wave = tone(9000, 1)
    said = {one["label"]: one["score"] for one in judge(wave)}
    score = Detector.load(bundle("mfpt"), device="cpu").score(wave)
    assert np.log(said["bonafide"] / said["spoof"]) == pytest.approx(score, abs=1e-3)


def test_the_package_is_not_needed(bundle, tmp_path):
    command = ["export", "--to", str(bundle("mfpt")), "--transformers", str(tmp_path / "model")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    wave = tone(9000, 1)
    np.save(tmp_path / "wave.npy", wave)
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'mixframe':\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy, torch\n"
        "from transformers import AutoModelForAudioClassification as Auto\n"
        "model = Auto.from_pretrained('model', trust_remote_code=True).eval()\n"
        "print(model(torch.from_numpy(numpy.load('wave.npy'))[None]).logits.tolist())\n"
    )
    environment = {"PATH": "", "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    ((spoof, bonafide),) = json.loads(ran.stdout)
    expected = Detector.load(bundle("mfpt"), device="cpu").score(wave)
    assert bonafide - spoof == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("system", ["lfcc", "localiser", "mfpt_fgfm"])
def test_other_systems_are_refused(bundle, system, tmp_path):
    with pytest.raises(MixframeError, match=f"{system} is no encoder under a pooled head"):
        write_classifier(bundle(system), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
