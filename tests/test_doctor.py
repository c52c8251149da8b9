"""The forecast of a preset: what is measured, how it is multiplied, what is said of the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import Wav2Vec2Config

from mixframe.base import hardware
from mixframe.base.compute import Compute
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment import doctor, sizes
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import read_preset
from mixframe.experiment.rehearsal import DEV, Limits, Rehearsal, Speed, noise_corpus
from mixframe.models import backbone as backbones

ROOT = Path(__file__).parents[1]
COMPUTE = Compute(
    device="cpu", processes=1, threads=1, workers=1, keep_utterances=100, isa="pinned"
)
SMALL = Wav2Vec2Config(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=48,
    conv_dim=[16] * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    conv_bias=True,
    **backbones.switches(0.0),
)
"""XLS-R in small."""


def rehearsal(preset, config, folder, limits, seconds=0.6, n=16):
    rows = noise_corpus(folder, [int(seconds * 16_000)] * n)
    return Rehearsal(preset, config, COMPUTE, rows, folder, limits)


@pytest.fixture
def smoke():
    return read_preset("smoke", ROOT)


# what is measured


def test_every_stage_that_computes_for_long_is_estimated():
    stages = {
        doctor.code.stage_of(s["cmd"]) for s in read_yaml(ROOT / "dvc.yaml")["stages"].values()
    }
    assert {stage for stage in stages if doctor.uses_torch(stage)} <= set(doctor.ESTIMATES)
    assert set(doctor.ESTIMATES) <= stages


def test_the_system_says_whether_a_cell_has_to_import_torch(smoke):
    for stage in ("finetune", "score"):
        assert doctor.uses_torch(stage, smoke.finetune["lora"])
        assert not doctor.uses_torch(stage, smoke.finetune["lfcc"])
    assert doctor.uses_torch("posttrain", smoke.finetune["mfpt"])
    assert not doctor.uses_torch("evaluate", smoke.finetune["lora"])


def test_each_kind_of_cell_of_smoke_is_measured(smoke, tmp_path):
    config = sizes.foundation_config(smoke.pretrain, Layout("smoke"))
    limits = Limits(steps=2, utterances=6, seconds=60)
    measured = rehearsal(smoke, config, tmp_path, limits, n=40)
    speeds = [measured.pretrain(smoke.pretrain), measured.posttrain("mfpt")]
    speeds += [measured.finetune(system) for system in ("lora", "frames", "mfpt_fgfm")]
    for speed in speeds:
        assert speed.step > 0
        assert speed.scored > 0
        assert (speed.steps, speed.utterances) == (2, 6)
        assert speed.memory_gib > 0.05
    assert [speed.batch for speed in speeds[:2]] == [
        smoke.pretrain.train.batch,
        smoke.posttrain["mfpt"].train.batch,
    ]
    lfcc = measured.finetune("lfcc")
    assert (lfcc.step, lfcc.steps) == (0, 0)
    assert lfcc.scored > 0
    # As lora but for where its encoder is from.
    assert measured.finetune("mfpt") is speeds[2]


def test_what_takes_too_long_is_measured_with_a_part_of_its_batch(smoke, tmp_path):
    config = sizes.foundation_config(smoke.pretrain, Layout("smoke"))
    limits = Limits(steps=20, utterances=200, seconds=1e-6)
    speed = rehearsal(smoke, config, tmp_path, limits).posttrain("mfpt")
    train = smoke.posttrain["mfpt"].train
    assert speed.batch == train.slices < train.batch
    assert (speed.steps, speed.utterances) == (1, DEV)


def test_a_preset_for_xlsr_needs_neither_corpus_nor_weights(tmp_path, monkeypatch):
    preset = read_preset("asvspoof5_mfpt", ROOT)
    monkeypatch.setattr(sizes, "published_config", lambda name: SMALL)
    monkeypatch.chdir(tmp_path)
    files = Layout("asvspoof5_mfpt")
    config = sizes.foundation_config(preset.pretrain, files)
    assert config is SMALL
    heard = doctor.sizes(preset, files)
    assert heard.of("eval").total == pytest.approx(680_774)
    assert "taken as 7.8 s" in heard.source
    measured = rehearsal(preset, config, tmp_path, Limits(2, 4, 1e-6))
    forecaster = doctor.Forecaster(preset, heard, measured, COMPUTE, tmp_path)
    options = {"system": "mfpt", "seed": "1", "set": "eval"}
    for stage in ("posttrain", "finetune", "score"):
        seconds, speed = forecaster.seconds(stage, options)
        assert seconds > 0
        assert speed.scored > 0


# how it is multiplied


class Fixed:
    """A rehearsal with one outcome for all."""

    speed = Speed(2.0, 0.25, 0.5, 16, 20, 200, 1.0)

    def decoding(self):
        return 0.01

    def pretrain(self, section):
        return self.speed

    def posttrain(self, system):
        return self.speed

    def finetune(self, system):
        return self.speed


@pytest.fixture
def forecaster(smoke, tmp_path):
    sets = {
        "train": doctor.SetSize(30, 70),
        "dev": doctor.SetSize(10, 20),
        "eval_partial": doctor.SetSize(16, 18),
        "train_partial": doctor.SetSize(8, 18),
    }
    heard = doctor.Sizes(sets, [16_000], 4, "made up")
    return doctor.Forecaster(smoke, heard, Fixed(), COMPUTE, tmp_path)


def test_a_cell_is_its_steps_and_what_it_scores(smoke, forecaster):
    copies = smoke.splice["heldout"].copies
    post, fine = smoke.posttrain["mfpt"], smoke.finetune["mfpt"]
    heldout = 10 * copies
    expected = {
        "posttrain": 2 * post.train.steps
        + 0.5 * ((post.train.validations + 1) * heldout + 34 * len(post.localise)),
        "finetune": 2 * fine.train.steps + 0.5 * (fine.train.validations + 1) * 30,
        "score": 0.5 * 34,
    }
    for stage, seconds in expected.items():
        options = {"system": "mfpt", "set": "eval_partial"}
        assert forecaster.seconds(stage, options)[0] == pytest.approx(seconds)
    pretrain = smoke.pretrain.train
    assert forecaster.seconds("pretrain", {})[0] == pytest.approx(
        2 * pretrain.steps + 0.25 * 40 + 0.5 * pretrain.validations * 10
    )


def test_what_learns_without_steps_is_counted_by_utterances(forecaster):
    seconds, _ = forecaster.seconds("finetune", {"system": "lfcc"})
    assert seconds == pytest.approx(0.25 * 100 + 0.5 * 30)


def test_other_stages_are_not_estimated(forecaster):
    assert forecaster.seconds("report", {}) is None


def test_the_demo_has_the_utterances_that_its_preset_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset = read_preset("demo", ROOT)
    heard = doctor.sizes(preset, Layout("demo"))
    section = preset.protocol.corpora["demo"].sets.train
    attacks = preset.protocol.corpora["demo"].attacks_train
    assert heard.of("train") == (section.bonafide, len(attacks) * section.spoof_per_attack)
    assert heard.of("unknown").total == 0
    longer = doctor.sizes(read_preset("asvspoof5_mfpt", ROOT), Layout("asvspoof5_mfpt"), 2.0)
    assert sum(longer.samples) / 64 == pytest.approx(32_000, rel=0.01)


def test_a_manifest_wins_over_what_a_preset_expects(tmp_path, monkeypatch, make_manifest):
    from mixframe.audio import manifest

    monkeypatch.chdir(tmp_path)
    files = Layout("demo")
    manifest.write(make_manifest({"train": 3, "dev": 2}), files.manifest)
    heard = doctor.sizes(read_preset("demo", ROOT), files, 99.0)
    assert heard.sets == {"dev": (2, 2), "train": (3, 3)}
    assert max(heard.samples) <= 1.2 * 16_000


def test_the_bottleneck_is_decoding_where_threads_cannot_keep_up():
    def row(cell, seconds, rate):
        return doctor.Row(cell, 1, seconds, rate, 0, 0, None, "measured")

    rows = [row("finetune a", 10, 50), row("posttrain a", 90, 90)]
    assert doctor._bottleneck(rows, 100, 0.01, COMPUTE).startswith(
        "posttrain a, 90% of the time: dec"
    )
    assert "computing" in doctor._bottleneck(rows, 100, 0.0001, COMPUTE)


# this machine


def test_what_nvidia_smi_prints_is_read():
    text = "NVIDIA H100 80GB HBM3, 81559, 550.54.15, 700.00\nTesla T4, 15360, 550.54.15, [N/A]\n"
    first, second = hardware.parse_gpus(text)
    assert first.name == "NVIDIA H100 80GB HBM3"
    assert first.memory_gib == pytest.approx(79.6, abs=0.1)
    assert (first.watts, second.watts) == (700.0, None)
    assert hardware.parse_gpus("") == []


def test_the_peak_memory_is_that_of_the_block():
    peak = hardware.PeakMemory()
    before = peak.gib()
    held = bytearray(2**28)
    assert peak.gib() - before == pytest.approx(0.25, abs=0.1)
    del held


def test_other_programs_are_named(monkeypatch):
    monkeypatch.setattr(doctor.machine, "fingerprint", list)
    monkeypatch.setattr(hardware, "load", lambda: 100.0)
    assert "load 100.0: other programs" in doctor.machine_lines(COMPUTE)[-1]
    monkeypatch.setattr(hardware, "load", lambda: 0.0)
    assert not any("load" in line for line in doctor.machine_lines(COMPUTE))


def test_a_corpus_that_does_not_fit_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preset = read_preset("asvspoof5_mfpt", ROOT)
    files = Layout("asvspoof5_mfpt")
    monkeypatch.setattr(hardware, "free_disk_gib", lambda folder: 100.0)
    corpus, model = doctor.preset_lines(preset, files)
    assert "135 GiB, and THE DISK HAS 100 GiB" in corpus
    assert "not there" in model
    monkeypatch.setattr(hardware, "free_disk_gib", lambda folder: 200.0)
    assert "135 GiB of 200 GiB free" in doctor.preset_lines(preset, files)[0]


@pytest.mark.slow
def test_doctor_forecasts_another_preset_than_that_of_params_yaml(tmp_path):
    out = tmp_path / "doctor.json"
    command = ["doctor", "--preset", "smoke", "--steps", "2", "--utterances", "4"]
    command += ["--at-most", "0.01", "--watts", "100", "--json", str(out)]
    program = [sys.executable, "-m", "mixframe", *command]
    done = subprocess.run(program, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())["forecast"]
    rows = {row["cell"]: row for row in figures["rows"]}
    assert {"protocol", "pretrain", "posttrain mfpt", "finetune lfcc", "report"} <= set(rows)
    assert rows["posttrain mfpt"]["train_rate"] > 0
    assert 0 < figures["warm_hours"] < figures["hours"]
    assert figures["kilowatt_hours"] == pytest.approx(figures["hours"] / 10)
    assert "bottleneck: " in done.stdout
