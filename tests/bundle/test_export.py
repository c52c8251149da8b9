"""Bundles: they are whole, they work alone, and they score as the stages do."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from click.testing import CliRunner

from mixframe.audio import manifest
from mixframe.audio.io import AudioRef, read
from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file
from mixframe.bundle.contents import read_contents
from mixframe.bundle.detector import Detector
from mixframe.bundle.writing import write_bundle
from mixframe.cli import main
from mixframe.experiment.layout import HELDOUT
from mixframe.metrics import calibration, decisions, detection, scorefiles
from mixframe.metrics.frames import frame_threshold
from tests.bundle.build import EVAL, FILES, SYSTEMS
from tests.conftest import tone

ENCODER = {"encoder/config.json", "encoder/model.safetensors", "encoder/preprocessor_config.json"}
LORA = {"adapter_config.json", "adapter_model.safetensors"}
OF_SYSTEM = {
    "lfcc": {"model.safetensors"},
    "lora": {*ENCODER, *LORA, "head.safetensors"},
    "random": {*ENCODER, *LORA, "head.safetensors"},
    "conformer": {*ENCODER, "head.safetensors"},
    "frames": {*ENCODER, *LORA, "head.safetensors"},
    "mfpt": {*ENCODER, *LORA, "head.safetensors", "classifier.safetensors"},
    "localiser": {*ENCODER, "head.safetensors", "classifier.safetensors"},
    "mfpt_fgfm": {*ENCODER, "head.safetensors"},
}


def utterances(project, name):
    """Yield the id and the samples of each utterance of a set."""
    table = pd.read_parquet(project / FILES.manifest)
    for _, row in table[table["set"] == name].iterrows():
        ref = manifest.ref(row)
        yield row["utterance"], read(AudioRef(str(project / ref.path), ref.offset, ref.n_bytes))


def scored(project, system, name):
    table = scorefiles.read_scores(project / FILES.scores(system, name))
    return dict(zip(table["trial"], table["score"], strict=True))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_bundle_scores_as_the_stage_does_without_the_project(
    project, bundle, system, tmp_path, monkeypatch
):
    shutil.copytree(bundle(system), tmp_path / "alone")
    monkeypatch.chdir(tmp_path)
    detector = Detector.load("alone", device="cpu")
    lengths = set()
    for name in ("dev", EVAL):
        expected = scored(project, system, name)
        for utterance, wave in utterances(project, name):
            assert detector.score(wave) == pytest.approx(expected[utterance], abs=1e-5)
            lengths.add(wave.size)
    assert min(lengths) < detector.max_samples < max(lengths)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_bundle_has_the_files_of_its_kind_and_pins_them_all(bundle, system):
    folder = bundle(system)
    contents = read_contents(folder)
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == OF_SYSTEM[system] | {"bundle.json", "README.md"}
    assert set(contents.files) == OF_SYSTEM[system]
    assert all(sha256_file(folder / name) == sha for name, sha in contents.files.items())


def test_what_bundle_json_says_comes_from_the_results(project, bundle):
    contents = read_contents(bundle("mfpt"))
    scores = scored(project, "mfpt", "dev")
    table = pd.read_parquet(project / FILES.manifest).set_index("utterance")["label"]
    bonafide = [score for name, score in scores.items() if table[name] == "bonafide"]
    spoof = [score for name, score in scores.items() if table[name] == "spoof"]
    fitted = calibration.fit(bonafide, spoof)
    assert contents.threshold == detection.eer_threshold(bonafide, spoof)
    detector = Detector.load(bundle("mfpt"), device="cpu")
    assert detector.llr(0.3) == pytest.approx(float(fitted(0.3)))
    frames = pd.read_parquet(project / FILES.frames("mfpt"))
    heldout = frames[frames["set"] == HELDOUT]
    rule = contents.frames
    assert rule.threshold == -frame_threshold(heldout)
    labels = [one == 1 for one in heldout["labels"]]
    logits = [-one for one in heldout["scores"]]
    chosen = decisions.fit(labels, logits, rule.threshold, 0.05, 0.5)
    fitted = chosen.calibration
    assert (rule.prior, rule.smooth, rule.shortest) == (0.05, chosen.smooth, chosen.shortest)
    assert (rule.calibration.slope, rule.calibration.offset) == (fitted.slope, fitted.offset)
    expected = fitted(decisions.smoothed(logits[0], rule.smooth))
    np.testing.assert_array_equal(rule.evidence(logits[0]), expected)
    assert rule.cut() == pytest.approx(np.log(19))
    assert rule.cut(0.5) == 0
    figures = contents.evaluated[EVAL]
    assert (figures.eer, figures.low, figures.high, figures.trials) == (0.125, 0.05, 0.25, 12)
    assert contents.trained_on.utterances == 12
    assert contents.trained_on.attacks == ["A0", "A2"]
    assert contents.trained_on.level_db.low < contents.trained_on.level_db.high
    assert contents.name == "mfpt"
    assert contents.seed == 1


def test_scores_that_do_not_overlap_leave_no_calibration(project, tmp_path, monkeypatch):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    table = manifest.read(FILES.manifest, ["dev"])
    apart = np.where(table["label"] == "bonafide", 1.0, -1.0) + np.arange(len(table)) / 100
    scorefiles.write_scores(FILES.scores("lora", "dev"), table["utterance"].tolist(), apart)
    contents = write_bundle("lora", None, None, tmp_path / "bundle", "unknown")
    assert contents.calibration is None
    assert Detector.load(tmp_path / "bundle", "cpu").llr(1.0) is None


def test_frames_that_do_not_overlap_leave_the_threshold_of_held_out_splices(
    project, tmp_path, monkeypatch
):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    frames = pd.read_parquet(FILES.frames("mfpt"))
    frames["scores"] = [1.5 - 2.0 * labels for labels in frames["labels"]]
    frames.to_parquet(FILES.frames("mfpt"))
    rule = write_bundle("mfpt", None, None, tmp_path / "bundle", "unknown").frames
    assert rule.calibration is None
    assert -1.5 <= rule.threshold <= 0.5
    assert rule.cut(0.001) == rule.cut(0.9) == 0
    level = rule.threshold + 0.25
    np.testing.assert_allclose(rule.evidence(np.full(9, level)), 0.25)


def test_without_the_training_audio_its_level_is_left_out(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    FILES.audio.unlink()
    contents = write_bundle("lora", None, None, tmp_path / "bundle", "unknown")
    assert contents.trained_on.level_db is None
    assert contents.trained_on.bandwidth_hz is None
    assert "dB of full scale" not in (tmp_path / "bundle" / "README.md").read_text()


@pytest.mark.parametrize(
    ("system", "path"),
    [
        ("mfpt", FILES.frames("mfpt")),
        ("localiser", FILES.frames("mfpt")),
        ("frames", FILES.located("frames")),
    ],
)
def test_frames_are_those_that_were_scored(project, bundle, system, path):
    detector = Detector.load(bundle(system), device="cpu")
    frames = pd.read_parquet(project / path)
    heldout = frames[frames["set"] == HELDOUT]
    assert detector.contents.frames.threshold == -frame_threshold(heldout)
    expected = frames[frames["set"] == EVAL].set_index("utterance")["scores"]
    for utterance, wave in utterances(project, EVAL):
        detector.score(wave)
        logits = detector.frames(wave)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, -expected[utterance], atol=1e-4)
        times = detector.frame_times(len(logits))
        assert times.shape == (len(logits), 2)
        np.testing.assert_allclose(times[1:, 0], times[:-1, 1])
        assert times[-1, 1] <= wave.size / 16_000


def test_a_recording_has_a_timeline_of_a_head_that_judges_frames(bundle, tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(12_000, 4), 16_000)
    command = ["detect", str(tmp_path / "a.wav"), "--model", str(bundle("frames")), "--json", "-"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["results"][0]["regions"] is not None


def test_a_system_whose_frames_were_not_scored_has_no_curve(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    FILES.located("frames").unlink()
    with pytest.raises(MixframeError, match=r"located\.parquet: .*stage 'score_frames'"):
        write_bundle("frames", None, None, tmp_path / "first", "unknown")
    choice = yaml.safe_load(Path("params.yaml").read_text())
    choice["grid"]["localising"] = []
    Path("params.yaml").write_text(yaml.safe_dump(choice))
    assert write_bundle("frames", None, None, tmp_path / "second", "unknown").frames is None
    assert not Detector.load(tmp_path / "second", "cpu").has_frames


@pytest.mark.parametrize("system", ["lfcc", "lora", "mfpt_fgfm"])
def test_there_are_no_frames_where_the_encoder_is_another(bundle, system):
    detector = Detector.load(bundle(system), device="cpu")
    assert not detector.has_frames
    for call in (lambda: detector.frames(tone(8000, 0)), lambda: detector.frame_times(3)):
        with pytest.raises(MixframeError, match=f"^{system}: the bundle has no frame classifier"):
            call()


def test_encoder_and_frame_classifier_share_their_weights(bundle):
    detector = Detector.load(bundle("mfpt"), device="cpu")
    own = {id(p) for p in detector.network.encoder.parameters()}
    plain = list(detector._frames.backbone.model.parameters())
    assert all(id(p) in own for p in plain)


def test_other_rates_are_resampled_as_files_are(bundle, tmp_path):
    detector = Detector.load(bundle("mfpt"), device="cpu")
    wave = tone(5000, 3)
    path = tmp_path / "narrow.wav"
    soundfile.write(path, np.stack([wave, wave / 2], axis=1), 8000, subtype="FLOAT")
    stereo, rate = soundfile.read(path)
    expected = detector.score(read(AudioRef(str(path))))
    assert detector.score(stereo, rate) == pytest.approx(expected, abs=1e-6)
    assert detector.score(wave, 8000) != pytest.approx(detector.score(wave), abs=1e-3)
    with pytest.raises(MixframeError, match="rate = 2,147,483,647 Hz; expected a sampling rate"):
        detector.score(wave, 2**31 - 1)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(8000, dtype=np.int16), "int16"),
        (np.zeros((2, 3, 4)), r"\(2, 3, 4\)"),
        (np.full(8000, np.nan), "not finite"),
        (np.zeros(3), "3 samples at 16 kHz: fewer than the 400"),
    ],
)
def test_samples_that_cannot_be_heard_are_refused(bundle, wave, message):
    with pytest.raises(MixframeError, match=message):
        Detector.load(bundle("mfpt"), device="cpu").score(wave)


@pytest.mark.parametrize("system", ["lora", "mfpt_fgfm", "lfcc"])
def test_the_shortest_utterance_has_a_score(bundle, system):
    detector = Detector.load(bundle(system), device="cpu")
    assert np.isfinite(detector.score(tone(detector.min_samples, 1)))


def test_several_threads_may_use_one_detector(bundle):
    detector = Detector.load(bundle("mfpt"), device="cpu")
    waves = [tone(3000 + 700 * i, i) for i in range(12)]
    expected = [(detector.score(wave), detector.frames(wave)) for wave in waves]
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(detector.score, waves))
        frames = list(pool.map(detector.frames, waves))
    assert scores == pytest.approx([score for score, _ in expected], abs=1e-6)
    for logits, (_, alone) in zip(frames, expected, strict=True):
        np.testing.assert_allclose(logits, alone, atol=1e-6)


def test_loading_leaves_the_callers_random_numbers_alone(bundle):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    Detector.load(bundle("mfpt"), device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_a_device_is_one_of_three(bundle):
    with pytest.raises(MixframeError, match="expected auto, cpu or cuda"):
        Detector.load(bundle("lora"), device="tpu")


def test_an_existing_folder_is_refused_and_left_alone(in_project, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(MixframeError, match="there: is there already"):
        write_bundle("lora", None, None, tmp_path / "there", "unknown")
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize(
    ("system", "seed", "message"),
    [
        ("nobody", None, "grid.system has no 'nobody'; expected one of lfcc, "),
        ("lora", 9, "grid.seed has no 9"),
        ("utterance_ft", None, "grid.system has no 'utterance_ft'"),
    ],
)
def test_what_was_not_trained_is_refused(in_project, tmp_path, system, seed, message):
    with pytest.raises(MixframeError, match=message):
        write_bundle(system, "tiny", seed, tmp_path / "new", "unknown")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [FILES.finetuned("lora") / "head.safetensors", FILES.foundation / "model.safetensors"],
)
def test_files_that_changed_since_training_are_refused(project, tmp_path, monkeypatch, path):
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    with path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(MixframeError, match=rf"{path.name}: sha256 .* was made with"):
        write_bundle("lora", None, None, Path("new"), "unknown")
    assert not Path("new").exists()
    assert not list(Path().glob(".new*"))


def test_the_command_writes_a_bundle(in_project, tmp_path):
    folder = tmp_path / "bundle"
    command = ["export", "--system", "lfcc", "--to", str(folder), "--license", "mit"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "bundle.json").read_text())["name"] == "lfcc"
    assert "license: mit" in (folder / "README.md").read_text()
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "is there already" in again.output
