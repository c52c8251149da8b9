"""One instruction set: pins win over what the environment says, and hashes tell departures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mixframe.base import isa
from mixframe.cli import main
from mixframe.experiment import machine
from tests.conftest import choice_of

LOWER = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
ROOT = Path(__file__).parents[1]

needs_avx2 = pytest.mark.skipif(not isa.supported(), reason="the processor has no AVX2 with FMA")


def hashes(**variables: str) -> dict[str, str]:
    """Run `mixframe fingerprint` in a process with these variables."""
    environment = {k: v for k, v in os.environ.items() if k not in isa.PINS} | variables
    run = subprocess.run(
        [sys.executable, "-m", "mixframe", "fingerprint"],
        env=environment,
        capture_output=True,
        text=True,
    )
    lines = run.stdout.splitlines()
    return {line[:35].strip(): line[35:51] for line in lines if line[35:51].strip().isalnum()}


@needs_avx2
def test_lower_dispatch_levels_change_nothing_with_the_pin_and_much_without():
    here, pinned, native = hashes(), hashes(**LOWER), hashes(**LOWER, MIXFRAME_ISA="native")
    assert list(here) == list(machine.computations())
    assert pinned == here
    departs = {name for name in here if native[name] != here[name]}
    assert {
        "numpy matrix product (OpenBLAS)",
        "torch matrix product (MKL)",
        "torch convolution (oneDNN)",
        "torch functions",
        "torch training step",
    } <= departs
    # These libraries do not choose by processor.
    assert not departs & {"scipy Fourier transform", "FFmpeg G.722", "attack world", "attack lpc"}


def test_every_computation_has_an_expected_hash_and_a_departure_is_named(tmp_path):
    expected = yaml.safe_load(machine.EXPECTED.read_text())["expected"]
    assert list(expected) == list(machine.computations())
    results = [
        machine.Result("a", "1", "1"),
        machine.Result("b", "2", "3"),
        machine.Result("c", "4", None),
    ]
    assert "2 of 3 computations depart: b, c" in machine.verdict(results)
    assert "all 1 computations agree" in machine.verdict(results[:1])
    copy = tmp_path / "machine.yaml"
    copy.write_text(machine.EXPECTED.read_text())
    machine.renew(results, copy)
    read = yaml.safe_load(copy.read_text())
    assert read["expected"] == {"a": "1", "b": "2", "c": "4"} or read["expected"] == {
        "a": 1,
        "b": 2,
        "c": 4,
    }
    assert read["attacks"] == yaml.safe_load(machine.EXPECTED.read_text())["attacks"]


def test_departing_libraries_are_named(tmp_path, monkeypatch):
    values = yaml.safe_load(machine.EXPECTED.read_text())
    before = machine.departing()
    values["expected"]["scipy Fourier transform"] = "0" * 16
    values["expected"]["attack world"] = "0" * 16
    other = tmp_path / "hashes.yaml"
    other.write_text(yaml.safe_dump(values))
    monkeypatch.setattr(machine, "EXPECTED", other)
    assert set(machine.departing()) - set(before) == {"scipy Fourier transform"}


@needs_avx2
def test_a_pin_wins_over_the_environment_unless_native_is_asked_for():
    ambient = dict(LOWER)
    isa.pin(ambient)
    assert isa.PINS.items() <= ambient.items()
    asked = {**LOWER, isa.NATIVE: "native"}
    isa.pin(asked)
    assert asked == {**LOWER, isa.NATIVE: "native"}


def test_no_pin_where_the_processor_cannot(monkeypatch):
    monkeypatch.setattr(isa, "supported", lambda: False)
    ambient: dict[str, str] = {}
    isa.pin(ambient)
    assert ambient == {}


@needs_avx2
@pytest.mark.parametrize("arguments", [["evaluate", "--system", "lora"], ["doctor"]])
def test_a_preset_that_wants_native_starts_anew_without_the_pins(tmp_path, monkeypatch, arguments):
    (tmp_path / "presets").mkdir()
    smoke = (ROOT / "presets" / "smoke.yaml").read_text()
    assert "isa: pinned" in smoke
    (tmp_path / "presets" / "smoke.yaml").write_text(smoke.replace("isa: pinned", "isa: native"))
    choice = yaml.safe_load((ROOT / "params.yaml").read_text())
    theirs = yaml.safe_load(smoke)
    choice |= choice_of("smoke", theirs)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(choice))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    started = []

    def execve(program, command, environment):
        started.append((command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    ((command, environment),) = started
    assert command[:3] == [sys.executable, "-m", "mixframe"]
    assert environment[isa.NATIVE] == "native"
    assert not set(environment) & set(isa.PINS)
