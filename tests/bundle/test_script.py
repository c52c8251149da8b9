"""TorchScript of whole detectors: equal to them, and no need of mixframe."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mixframe.base.errors import MixframeError
from mixframe.bundle.detector import Detector
from mixframe.bundle.script import write_script
from mixframe.cli import main
from tests.conftest import tone

LENGTHS = (400, 3000, 16_000, 40_000)
"""One frame, less than what was traced, that, and more than is heard."""


@pytest.mark.parametrize("system", ["lora", "mfpt", "conformer", "mfpt_fgfm"])
def test_scores_are_those_of_the_detector(bundle, system, tmp_path):
    path = tmp_path / "detector.pt"
    write_script(bundle(system), path)
    detector, scripted = Detector.load(bundle(system), device="cpu"), torch.jit.load(path)
    scores = []
    for length in LENGTHS:
        wave = tone(length, seed=length)
        scores.append(scripted(torch.from_numpy(wave)).item())
        assert scores[-1] == pytest.approx(detector.score(wave), abs=1e-4)
    assert np.ptp(scores) > 1e-3


def test_torch_alone_is_enough(bundle, tmp_path):
    command = ["export", "--to", str(bundle("mfpt")), "--torchscript", str(tmp_path / "a.pt")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    wave = tone(9000, 1)
    np.save(tmp_path / "wave.npy", wave)
    code = (
        "import sys, numpy, torch\n"
        "wave = torch.from_numpy(numpy.load('wave.npy'))\n"
        "print(torch.jit.load('a.pt')(wave).item())\n"
        "assert not {'mixframe', 'transformers', 'peft'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    expected = Detector.load(bundle("mfpt"), device="cpu").score(wave)
    assert float(ran.stdout) == pytest.approx(expected, abs=1e-4)


def test_too_little_is_refused_by_the_script_as_well(bundle, tmp_path):
    write_script(bundle("lora"), tmp_path / "a.pt")
    with pytest.raises(torch.jit.Error, match="at least those of one frame"):
        torch.jit.load(tmp_path / "a.pt")(torch.zeros(399))


@pytest.mark.parametrize("system", ["lfcc", "localiser"])
def test_other_systems_are_refused(bundle, system, tmp_path):
    with pytest.raises(MixframeError, match=f"{system} is of kind {system}; only an encoder"):
        write_script(bundle(system), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_left_alone(bundle, tmp_path):
    (tmp_path / "a.pt").write_text("mine")
    with pytest.raises(MixframeError, match="is there already"):
        write_script(bundle("lora"), tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_text() == "mine"
