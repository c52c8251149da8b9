"""Distortions: what each does to a signal whose answer is known, ready conditions, the command."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner
from dvc.utils.serialize import dumps_yaml, loads_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mixframe.audio.augmentations import AnyAugmentation
from mixframe.audio.distortions import DISTORTIONS, AnyDistortion, coding
from mixframe.audio.distortions.conditions import READY, read_condition, read_conditions
from mixframe.audio.distortions.signal import at_power, levels_db, power
from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Section, validate
from mixframe.cli import main

ROOT = Path(__file__).parents[1]
CONDITIONS = read_conditions(ROOT / READY)


class One(Section):
    distortion: AnyDistortion


def make(kind, **values):
    return validate(One, {"distortion": {"kind": kind, **values}}, "test").distortion


def rng(seed=0):
    return np.random.default_rng(seed)


def speech(seconds, seed=0):
    """Harmonics of a voice that glides, in syllables of four a second, and a little noise."""
    n = round(seconds * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.7 * time + seed)) / SAMPLE_RATE
    voice = sum(np.sin(number * phase + number**2) / number for number in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, 1)
    noise = 0.002 * rng(seed).standard_normal(n)
    return (0.1 * voice * syllables + noise).astype(np.float32)


def snr(clean, changed):
    return 10 * np.log10(power(clean) / power(changed.astype(np.float64) - clean))


def lag(wave, late):
    """By how many samples `late` is behind `wave`, by their cross-correlation."""
    size = 2 * max(wave.size, late.size)
    spectrum = np.fft.rfft(late, size) * np.conj(np.fft.rfft(wave, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)))
    return at if at < size // 2 else at - size


WAVE = speech(2)
CODECS = [
    name
    for name in CONDITIONS
    if name.startswith(("mp3", "aac", "opus", "vorbis", "alaw", "mulaw", "g72", "amr"))
]


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_ready_condition_runs_and_draws_from_its_generator_alone(name):
    condition, wave = CONDITIONS[name], np.pad(speech(1), 800)
    before = wave.copy()
    made = condition.apply(wave, rng(3))
    assert made.dtype == np.float32
    assert made.ndim == 1
    assert np.isfinite(made).all()
    assert made.size == wave.size or not condition.keeps_length
    assert not np.array_equal(made, wave)
    np.testing.assert_array_equal(wave, before)
    # Whatever came in between.
    condition.apply(speech(0.3, 1), rng(4))
    np.testing.assert_array_equal(condition.apply(wave, rng(3)), made)


@pytest.mark.parametrize("n_samples", [1, 161])
@pytest.mark.parametrize("name", CONDITIONS)
def test_silence_and_short_utterances_stay_finite(name, n_samples):
    condition = CONDITIONS[name]
    for wave in (np.zeros(n_samples, np.float32), np.full(n_samples, 0.5, np.float32)):
        made = condition.apply(wave, rng())
        assert made.size
        assert made.size == n_samples or not condition.keeps_length
        assert np.isfinite(made).all()


def test_another_process_gives_the_same_bytes(tmp_path):
    names = ["opus_12k", "dynamic_kinds_5", "loss_20pct_repeat", "room_rt300ms", "pink_snr10"]
    np.save(tmp_path / "wave.npy", WAVE)
    code = f"""
import numpy as np
from pathlib import Path
from mixframe.audio.distortions.conditions import read_conditions
conditions, wave = read_conditions(Path({str(ROOT / READY)!r})), np.load("wave.npy")
made = [conditions[name].apply(wave, np.random.default_rng(5)) for name in {names[::-1]}]
np.save("made.npy", np.array(made[::-1]))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    own = [CONDITIONS[name].apply(WAVE, rng(5)) for name in names]
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), own)


def test_the_strength_is_in_the_name_and_in_the_table():
    assert len(CONDITIONS) >= 30
    assert all(
        any(letter.isdigit() for letter in name) or "inverted" in name for name in CONDITIONS
    )
    kinds = {section.kind for section in CONDITIONS.values()}
    assert set(DISTORTIONS) - kinds == {"impulse_response", "noise_files"}


def test_dvc_writes_the_ready_conditions_as_they_are():
    text = (ROOT / READY).read_text()
    assert dumps_yaml(loads_yaml(text, typ="rt")) == text


@pytest.mark.parametrize("name", CODECS)
def test_the_delay_of_a_codec_is_taken_back(name):
    made = CONDITIONS[name].apply(WAVE, rng())
    most = 1 if name.startswith(("alaw", "mulaw", "g72")) else 0.005 * SAMPLE_RATE
    # The filters of a speech coder turn the phase of the fundamental.
    band = make("band", low_hz=400, high_hz=3400, order=4)
    clean, coded = band.apply(WAVE, rng()), band.apply(made, rng())
    assert abs(lag(clean, coded)) <= most
    # The end is there as well.
    assert abs(lag(clean[-8000:], coded[-8000:])) <= most
    assert power(made) == pytest.approx(power(WAVE), rel=0.3)


@pytest.mark.parametrize("codec", ["mp3", "aac", "opus", "adpcm_g726", "amr_nb"])
def test_a_codec_has_the_rate_it_was_asked_for(codec):
    coder = coding.CODERS[codec]
    low, high = {
        "mp3": (16_000, 64_000),
        "aac": (16_000, 48_000),
        "opus": (8_000, 32_000),
        "adpcm_g726": (16_000, 40_000),
        "amr_nb": (4_750, 12_200),
    }[codec]
    for bit_rate in (low, high):
        encoder = coding._encoder(coder, bit_rate, dict(coder.options))
        wave = coding.convert(speech(4), SAMPLE_RATE, coder.rate)
        packets = [p for part in coding._parts(wave, encoder) for p in encoder.encode(part)]
        made = 8 * sum(packet.size for packet in packets) / 4
        assert made == pytest.approx(bit_rate, rel=0.3)
    errors = [
        snr(WAVE, make("codec", codec=codec, bit_rate=b).apply(WAVE, rng())) for b in (low, high)
    ]
    assert errors[0] < errors[1]


def test_a_higher_quality_of_vorbis_is_nearer():
    errors = [snr(WAVE, make("vorbis", quality=q).apply(WAVE, rng())) for q in (1, 3, 8)]
    assert errors == sorted(errors)
    assert errors[0] + 3 < errors[2]


def test_a_codec_that_ffmpeg_lacks_is_named_with_those_it_has(monkeypatch):
    absent = replace(coding.CODERS["opus"], encoder="libabsent")
    monkeypatch.setitem(coding.CODERS, "opus", absent)
    with pytest.raises(
        MixframeError, match=r"no encoder libabsent; .*aac, .*g722.*pcm_alaw"
    ) as error:
        make("codec", codec="opus", bit_rate=12_000).apply(WAVE, rng())
    assert "opus" not in str(error.value)


def tone(hertz, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("hertz", "passes"), [(100, False), (1000, True), (2500, True), (5000, False)]
)
def test_the_telephone_band(hertz, passes):
    wave = tone(hertz)
    made = make("band", low_hz=300, high_hz=3400, order=4).apply(wave, rng())
    decibel = 10 * np.log10(power(made[2000:-2000]) / power(wave))
    assert decibel > -1 if passes else decibel < -30
    if passes:
        assert lag(wave, made) == 0


def test_the_limits_of_a_band_lose_6_db():
    for hertz in (500, 2000):
        made = make("band", low_hz=500, high_hz=2000, order=3).apply(tone(hertz), rng())
        decibel = 10 * np.log10(power(made[4000:-4000]) / 0.5)
        assert decibel == pytest.approx(-6, abs=0.3)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100])
def test_another_rate_and_back(rate):
    resample = make("resample", rate_hz=rate)
    assert lag(WAVE, resample.apply(WAVE, rng())) == 0
    for hertz in (0.4 * rate, 0.6 * rate):
        if hertz < 7500:
            wave = tone(hertz)
            left = power(resample.apply(wave, rng())) / power(wave)
            assert left > 0.95 if hertz < rate / 2 else left < 0.001


@settings(max_examples=30, deadline=None)
@given(st.floats(-10, 40), st.sampled_from(["white", "pink"]), st.integers(0, 1000))
def test_noise_has_its_ratio_over_the_whole_utterance(ratio, colour, seed):
    wave = speech(0.6, seed)
    made = make("noise", colour=colour, snr_db=ratio).apply(wave, rng(seed))
    assert snr(wave, made) == pytest.approx(ratio, abs=0.1)


def test_the_colour_of_noise():
    wave = np.full(160_000, 1e-3, np.float32)
    for colour, octave in (("white", 3.0), ("pink", 0.0)):
        noise = make("noise", colour=colour, snr_db=0).apply(wave, rng(1)) - wave
        density = np.square(np.abs(np.fft.rfft(noise)))
        low, high = density[10_000:20_000].sum(), density[20_000:40_000].sum()
        assert 10 * np.log10(high / low) == pytest.approx(octave, abs=0.3)


def write(folder, name, wave, rate=SAMPLE_RATE):
    folder.mkdir(exist_ok=True, parents=True)
    soundfile.write(folder / name, wave, rate, subtype="FLOAT" if name.endswith("wav") else None)


def test_noise_from_files(tmp_path):
    folder = tmp_path / "noise"
    write(folder / "free-sound", "short.wav", 0.1 * rng(1).standard_normal(3000))
    write(folder, "long.wav", 0.01 * rng(2).standard_normal(100_000))
    (folder / "ANNOTATIONS").write_text("no recording")
    one = make("noise_files", folder=str(folder), files=1, snr_db=5)
    made = [one.apply(WAVE, rng(seed)) for seed in range(12)]
    assert all(snr(WAVE, wave) == pytest.approx(5, abs=0.1) for wave in made)
    assert len({wave.tobytes() for wave in made}) == 12
    # The short file repeats, the long one does not.
    repeats = [np.allclose((m - WAVE)[:3000], (m - WAVE)[3000:6000], atol=1e-6) for m in made]
    assert set(repeats) == {True, False}
    three = make("noise_files", folder=str(folder), files=3, snr_db=5)
    assert snr(WAVE, three.apply(WAVE, rng())) == pytest.approx(5, abs=0.1)
    assert not np.array_equal(three.apply(WAVE, rng()), one.apply(WAVE, rng()))


def test_impulse_responses_from_files(tmp_path):
    echo = np.zeros(2000)
    echo[300], echo[1300] = 0.5, 0.25
    write(tmp_path / "rooms", "echo.wav", echo)
    made = make("impulse_response", folder=str(tmp_path / "rooms")).apply(WAVE, rng())
    expected = WAVE + 0.5 * np.concatenate([np.zeros(1000), WAVE[:-1000]])
    np.testing.assert_allclose(made, at_power(expected, power(WAVE)), atol=1e-6)


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    def error(folder, kind="impulse_response", **values):
        with pytest.raises(MixframeError) as raised:
            make(kind, folder=str(folder), **values).apply(WAVE, rng())
        return str(raised.value)

    noise = {"kind": "noise_files", "files": 1, "snr_db": 0}
    assert error(tmp_path / "none") == (
        f"{tmp_path}/none: no such folder; expected .flac, .mp3, .ogg, .wav files at 16 kHz"
    )
    (tmp_path / "empty").mkdir()
    assert "empty: no recordings in it" in error(tmp_path / "empty", **noise)
    write(tmp_path / "fast", "a.wav", WAVE, 44_100)
    for values in ({}, noise):
        assert error(tmp_path / "fast", **values).endswith(
            "fast/a.wav: 44,100 Hz; expected 16,000 Hz"
        )
    write(tmp_path / "wide", "a.wav", np.stack([WAVE, WAVE], axis=1))
    assert error(tmp_path / "wide").endswith("wide/a.wav: 2 channels; expected one")
    write(tmp_path / "nothing", "a.wav", WAVE[:0])
    assert error(tmp_path / "nothing").endswith("a.wav: audio without samples")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.wav").write_text("no audio")
    assert "damaged/a.wav: not decodable" in error(tmp_path / "damaged")


def test_a_room_dies_away_as_long_as_it_says():
    room = make("room", rt60_seconds=0.5, drr_db=3)
    response = room.response(rng(2))
    direct, tail = response[0], response[1:]
    assert 10 * np.log10(direct**2 / np.square(tail).sum()) == pytest.approx(3, abs=0.01)
    left = 10 * np.log10(np.cumsum(np.square(tail)[::-1])[::-1])
    # Schroeder's curve: 60 dB in the reverberation time, measured over 30 dB.
    assert left[0] - left[round(0.25 * SAMPLE_RATE)] == pytest.approx(30, abs=1)
    made = room.apply(WAVE, rng(2))
    assert power(made) == pytest.approx(power(WAVE), rel=1e-4)
    assert lag(WAVE, made) == 0


@pytest.mark.parametrize(("share", "burst"), [(0.05, 1.0), (0.2, 2.5), (0.5, 8.0), (0.6, 1.5)])
def test_losses_are_those_of_the_gilbert_model(share, burst):
    lost = make("loss", share=share, burst=burst, concealment="zero").lost(200_000, rng(1))
    edges = np.flatnonzero(np.diff(lost.astype(int), prepend=0, append=0)).reshape(-1, 2)
    assert lost.mean() == pytest.approx(share, rel=0.05)
    assert np.diff(edges).mean() == pytest.approx(burst, rel=0.05)


def test_what_is_played_for_a_lost_packet():
    wave = np.repeat(np.arange(1, 101, dtype=np.float32), 320)
    values = {"share": 0.4, "burst": 2}
    lost = make("loss", **values, concealment="zero").lost(100, rng(6))
    assert 20 < lost.sum() < 60
    silent = make("loss", **values, concealment="zero").apply(wave, rng(6)).reshape(100, 320)
    repeated = make("loss", **values, concealment="repeat").apply(wave, rng(6)).reshape(100, 320)
    last = 0.0
    for number, gone in enumerate(lost):
        assert (silent[number] == (0 if gone else number + 1)).all()
        last = last / 2 if gone else number + 1
        assert (repeated[number] == last).all()


def test_gaps_are_silence_between_packets_and_lose_nothing():
    wave = np.ones(20 * SAMPLE_RATE, np.float32)
    made = make("gaps", per_second=2, ms=[30, 50]).apply(wave, rng(1))
    edges = np.flatnonzero(np.diff((made == 0).astype(int), prepend=0, append=0)).reshape(-1, 2)
    assert (made != 0).sum() == wave.size
    assert made.size - wave.size == (made == 0).sum()
    assert 25 < len(edges) < 60
    lengths = np.diff(edges)[:, 0]
    assert (lengths >= 480).all()
    assert (lengths <= 800).all()
    heard = edges[:, 0] - np.concatenate([[0], np.cumsum(lengths)[:-1]])
    assert (heard % 320 == 0).all()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_clipping_cuts_its_share_of_the_samples(share):
    made = make("clip", share=share).apply(WAVE, rng())
    cut = np.abs(made) < np.abs(WAVE)
    assert cut.mean() == pytest.approx(share, abs=0.002)
    assert np.ptp(np.abs(made[cut])) < 1e-6
    np.testing.assert_array_equal(made[~cut], WAVE[~cut])
    assert np.abs(made).max() <= np.abs(WAVE[~cut]).max() + 1e-4


def test_level_offset_and_polarity():
    np.testing.assert_allclose(make("level", gain_db=-20).apply(WAVE, rng()), 0.1 * WAVE, rtol=1e-6)
    made = make("offset", value=0.05).apply(WAVE, rng())
    np.testing.assert_allclose(made - WAVE, 0.05, atol=1e-7)
    np.testing.assert_array_equal(make("polarity").apply(WAVE, rng()), -WAVE)


AGC = {"target_dbfs": -20, "max_gain_db": 40, "attack_ms": 20, "release_ms": 200, "gate_dbfs": -70}


def test_gain_control_brings_levels_together():
    wave = tone(440, 6) * np.repeat(np.float32([0.01, 0.3, 0.01]), 2 * SAMPLE_RATE)
    made = make("agc", **AGC).apply(wave, rng())
    for end in (2, 4, 6):
        settled = made[round((end - 0.3) * SAMPLE_RATE) : end * SAMPLE_RATE]
        assert 10 * np.log10(power(settled)) == pytest.approx(-20, abs=0.5)
    # Down at once, up with time.
    level = levels_db(made, 160)
    assert abs(level[220] + 20) < 1
    assert level[415] < -30
    limited = make("agc", **{**AGC, "max_gain_db": 6}).apply(wave, rng())
    assert 10 * np.log10(power(limited[24_000:32_000]) / power(wave[:8000])) == pytest.approx(
        6, abs=0.1
    )
    gated = make("agc", **{**AGC, "gate_dbfs": -30}).apply(wave, rng())
    np.testing.assert_allclose(gated[:16_000], wave[:16_000], atol=1e-6)


COMPRESS = {"threshold_db": -10, "attack_ms": 5, "release_ms": 50}


def test_compression_divides_what_exceeds_the_threshold():
    loud = np.repeat(np.float32([0.5, 0.05]), SAMPLE_RATE)
    wave = tone(1000, 2) * loud

    def range_db(ratio, **changes):
        made = make("compress", ratio=ratio, **{**COMPRESS, **changes}).apply(wave, rng())
        assert power(made) == pytest.approx(power(wave), rel=1e-3)
        return 10 * np.log10(power(made[8000:16_000]) / power(made[24_000:]))

    # The RMS of all is 3 dB below that of the loud half: 13 of its 20 dB exceed the threshold.
    assert range_db(1) == pytest.approx(20, abs=0.1)
    assert range_db(4) == pytest.approx(20 - 13 * 3 / 4, abs=0.3)
    assert range_db(4, threshold_db=0) == pytest.approx(20 - 3 * 3 / 4, abs=0.3)


def test_compression_comes_and_goes_with_its_times():
    wave = tone(1000, 3) * np.repeat(np.float32([0.05, 0.5, 0.05]), SAMPLE_RATE)
    made = make("compress", ratio=10, threshold_db=-15, attack_ms=20, release_ms=200).apply(
        wave, rng()
    )
    gain = levels_db(made, 160) - levels_db(wave, 160)
    before, within = gain[80], gain[180]
    assert before - within > 5
    # One time constant is 63 % of the way.
    assert (before - gain[102]) / (before - within) == pytest.approx(0.63, abs=0.15)
    assert (gain[220] - within) / (before - within) == pytest.approx(0.63, abs=0.15)


def peak_hertz(wave):
    return np.argmax(np.abs(np.fft.rfft(wave * np.hanning(wave.size)))) * SAMPLE_RATE / wave.size


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.2])
def test_stretching_keeps_the_pitch_and_the_level(factor):
    wave = tone(220, 2)
    made = make("stretch", factor=factor).apply(wave, rng())
    assert made.size == round(wave.size * factor)
    assert peak_hertz(made) == pytest.approx(220, abs=1)
    assert power(made[1000:-1000]) == pytest.approx(0.5, rel=0.05)
    syllables, longer = (
        levels_db(speech(4), 160),
        levels_db(make("stretch", factor=factor).apply(speech(4), rng()), 160),
    )
    at = np.arange(longer.size) / factor
    assert np.corrcoef(np.interp(at, np.arange(syllables.size), syllables), longer)[0, 1] > 0.9


def test_a_factor_of_1_changes_nothing():
    np.testing.assert_allclose(make("stretch", factor=1).apply(WAVE, rng()), WAVE, atol=1e-6)


@pytest.mark.parametrize("semitones", [-2, -1, 0.5, 1])
def test_pitch_moves_by_semitones_at_the_same_length(semitones):
    wave = tone(440, 2)
    made = make("pitch", semitones=semitones).apply(wave, rng())
    assert made.size == wave.size
    assert peak_hertz(made) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.004)


def test_trimming_leaves_its_margin():
    wave = np.concatenate([np.zeros(8000), tone(440), np.zeros(4000)]).astype(np.float32)
    made = make("trim", below_db=40, margin_ms=25).apply(wave, rng())
    np.testing.assert_array_equal(made, wave[8000 - 400 : 24_000 + 400])
    assert make("trim", below_db=40, margin_ms=1000).apply(wave, rng()).size == wave.size
    quiet = wave + 0.02 * np.float32(1) * tone(300, wave.size / SAMPLE_RATE)
    assert make("trim", below_db=40, margin_ms=0).apply(quiet, rng()).size == wave.size
    assert make("trim", below_db=20, margin_ms=0).apply(quiet, rng()).size == 16_000


def test_padding_is_noise_of_its_level_around_the_utterance():
    made = make("pad", before_ms=500, after_ms=250, noise_dbfs=-60).apply(WAVE, rng())
    assert made.size == WAVE.size + 8000 + 4000
    np.testing.assert_array_equal(made[8000:-4000], WAVE)
    for part in (made[:8000], made[-4000:]):
        assert 10 * np.log10(power(part)) == pytest.approx(-60, abs=0.5)


def test_the_denoiser_removes_noise_and_leaves_speech():
    noisy = WAVE + 0.02 * rng(1).standard_normal(WAVE.size).astype(np.float32)
    pauses = np.abs(np.sin(2 * np.pi * 4 * np.arange(WAVE.size) / SAMPLE_RATE) + 0.5) < 0.4
    left = {}
    for factor, floor in ((1, 20), (4, 20), (4, 40)):
        denoise = make("denoise", quantile=0.5, factor=factor, floor_db=floor)
        made = denoise.apply(noisy, rng())
        left[factor, floor] = 10 * np.log10(power(made[pauses]) / power(noisy[pauses]))
        assert lag(WAVE, made) == 0
    assert left[4, 20] < left[1, 20] - 3
    assert left[4, 40] < left[4, 20]
    other = make("denoise", quantile=0.2, factor=4, floor_db=20).apply(noisy, rng())
    assert 10 * np.log10(power(other[pauses]) / power(noisy[pauses])) > left[4, 20]


def test_a_chain_goes_in_its_order():
    steps = [{"kind": "offset", "value": 0.5}, {"kind": "level", "gain_db": -20}]
    one, other = (make("chain", steps=order) for order in (steps, steps[::-1]))
    np.testing.assert_allclose(one.apply(WAVE, rng()), 0.1 * (WAVE + 0.5), atol=1e-6)
    np.testing.assert_allclose(other.apply(WAVE, rng()), 0.1 * WAVE + 0.5, atol=1e-6)


def test_the_steps_of_a_chain_draw_in_turn():
    step = {"kind": "noise", "colour": "white", "snr_db": 0}
    generator = rng(8)
    expected = make(**step).apply(make(**step).apply(WAVE, generator), generator)
    np.testing.assert_array_equal(make("chain", steps=[step, step]).apply(WAVE, rng(8)), expected)


def test_whether_the_length_is_kept_is_known_before():
    stretch = {"kind": "stretch", "factor": 1.05}
    assert not make(**stretch).keeps_length
    inner = {"kind": "chain", "steps": [stretch]}
    assert not make("chain", steps=[{"kind": "polarity"}, inner]).keeps_length
    assert make("chain", steps=[{"kind": "polarity"}]).keeps_length
    dynamic = {"choices": [inner, {"kind": "polarity"}], "seconds": [0.2, 0.4], "crossfade_ms": 10}
    with pytest.raises(MixframeError, match="chain changes the length"):
        make("dynamic", **dynamic)


def gains(*decibels):
    return [{"kind": "level", "gain_db": gain} for gain in decibels]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60_000), st.integers(0, 1000))
def test_dynamic_segments_have_their_lengths_and_differ_from_their_neighbours(n_samples, seed):
    dynamic = make("dynamic", choices=gains(0, -20, -40), seconds=[0.25, 0.5], crossfade_ms=2)
    made = dynamic.apply(np.ones(n_samples, np.float32), rng(seed))
    steady = np.isclose(made[:, None], [1, 0.1, 0.01], rtol=1e-4).any(axis=1)
    edges = np.flatnonzero(np.diff(steady.astype(int), prepend=0, append=0)).reshape(-1, 2)
    lengths = np.diff(edges)[:, 0]
    assert (lengths <= 0.5 * SAMPLE_RATE).all() or n_samples < 0.5 * SAMPLE_RATE
    if n_samples >= 0.5 * SAMPLE_RATE:
        assert (lengths >= 0.25 * SAMPLE_RATE - 32).all()
        assert len(edges) > 1
    levels = [made[start] for start, _ in edges]
    assert all(abs(one - other) > 0.01 for one, other in pairwise(levels))
    assert (made <= 1 + 1e-6).all()


def test_a_dynamic_blend_is_a_straight_line():
    dynamic = make("dynamic", choices=gains(0, -80), seconds=[0.5, 0.5], crossfade_ms=100)
    made = dynamic.apply(np.ones(16_000, np.float32), rng(1))
    assert np.abs(np.diff(made)).max() == pytest.approx(1 / 1600, rel=0.01)
    assert (np.abs(np.diff(made)) > 1e-5).sum() == pytest.approx(1600, abs=2)
    same = make("dynamic", choices=gains(0, 0), seconds=[0.3, 0.5], crossfade_ms=100)
    np.testing.assert_allclose(same.apply(WAVE, rng()), WAVE, atol=1e-6)


WRONG = {
    "bit_rate 9000: amr_nb takes one of 4750, 5150": {
        "kind": "codec",
        "codec": "amr_nb",
        "bit_rate": 9000,
    },
    "bit_rate 600: opus takes 6,000 to 510,000 bit/s": {
        "kind": "codec",
        "codec": "opus",
        "bit_rate": 600,
    },
    "distortion.codec.codec = 'opus2': input should be 'mp3', 'aac'": {
        "kind": "codec",
        "codec": "opus2",
        "bit_rate": 12_000,
    },
    "distortion.noise.snr_db = 400: input should be less than or equal to 100": {
        "kind": "noise",
        "colour": "white",
        "snr_db": 400,
    },
    "distortion.clip.share = 1.5: input should be less than 1": {"kind": "clip", "share": 1.5},
    "low_hz 3400 is not below high_hz 300": {
        "kind": "band",
        "low_hz": 3400,
        "high_hz": 300,
        "order": 2,
    },
    "a share of 0.8 is lost only in bursts of 4 packets or more, not of 2": {
        "kind": "loss",
        "share": 0.8,
        "burst": 2,
        "concealment": "zero",
    },
    "ms [-5.0, 10.0]: gaps are of 0 to 60,000 ms": {
        "kind": "gaps",
        "per_second": 1,
        "ms": [-5, 10],
    },
    "ms [5.0, 1e+300]: gaps are of 0 to 60,000 ms": {
        "kind": "gaps",
        "per_second": 1,
        "ms": [5, 1e300],
    },
    "pad.before_ms = 1e+308: input should be less than or equal to 60000": {
        "kind": "pad",
        "before_ms": 1e308,
        "after_ms": 0,
        "noise_dbfs": -80,
    },
    "trim.margin_ms = 1e+308: input should be less than or equal to 60000": {
        "kind": "trim",
        "below_db": 40,
        "margin_ms": 1e308,
    },
    "noise_files.files = 1000000: input should be less than or equal to 100": {
        "kind": "noise_files",
        "folder": "data/noise",
        "files": 10**6,
        "snr_db": 10,
    },
    "seconds [0.2, 1e+308]: segments are of at most 60,000 ms": {
        "kind": "dynamic",
        "choices": gains(0, 1),
        "seconds": [0.2, 1e308],
        "crossfade_ms": 20,
    },
    "crossfade_ms 300 is longer than the shortest segment, 0.2 s": {
        "kind": "dynamic",
        "choices": gains(0, 1),
        "seconds": [0.2, 1],
        "crossfade_ms": 300,
    },
    "distortion.kind = 'flanger': input should be 'agc', 'band'": {"kind": "flanger"},
    "distortion.chain.steps.0.level.gain_db: missing": {
        "kind": "chain",
        "steps": [{"kind": "level"}],
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_with_a_section_is_named(message):
    with pytest.raises(MixframeError) as error:
        validate(One, {"distortion": WRONG[message]}, "test")
    assert message in str(error.value)


def test_what_is_wrong_with_a_file_of_conditions_is_named(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("quiet: {kind: level, gain_db: -3}\nLoud+3: {kind: level, gain_db: 3}\n")
    with pytest.raises(MixframeError, match=r"own.yaml:\n  conditions.Loud\+3"):
        read_conditions(path)
    path.write_text("quiet: {kind: level, gain_db: -3}\nloud: {kind: level, gain_db: 300}\n")
    with pytest.raises(MixframeError, match=r"conditions.loud.level.gain_db = 300"):
        read_conditions(path)
    path.write_text("quiet: {kind: level, gain_db: -3}\n")
    with pytest.raises(MixframeError, match=r"no condition 'loud'; expected one of quiet"):
        read_condition("loud", path)


def test_the_table_is_read_without_anything_large():
    code = (
        "import sys, mixframe.audio.distortions.conditions, mixframe.audio.augmentations; "
        "print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy.signal", "av", "pandas"} & set(ran.stdout.split())


def augmentation(**changes):
    values = {"kind": "chain", "share": 1.0, "most": 2, "conditions": gains(-3, -6, -12)}
    return TypeAdapter(AnyAugmentation).validate_python({**values, **changes})


def test_the_augmentation_draws_conditions_anew_for_each_utterance():
    made = [augmentation().apply(WAVE, rng(seed)) for seed in range(60)]
    decibel = {round(20 * np.log10(np.abs(wave).max() / np.abs(WAVE).max())) for wave in made}
    assert decibel == {-3, -6, -12, -9, -15, -18}
    np.testing.assert_array_equal(augmentation().apply(WAVE, rng(7)), made[7])
    changed = [augmentation(share=0.3).apply(WAVE, rng(seed)) is not WAVE for seed in range(300)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)
    assert augmentation(share=0.0).apply(WAVE, rng()) is WAVE


def test_the_augmentation_keeps_the_length():
    pad = {"kind": "pad", "before_ms": 100, "after_ms": 0, "noise_dbfs": -100}
    made = augmentation(most=1, conditions=[pad]).apply(WAVE, rng())
    np.testing.assert_array_equal(made[1600:], WAVE[:-1600])
    shorter = augmentation(most=1, conditions=[{"kind": "stretch", "factor": 0.5}]).apply(
        WAVE, rng()
    )
    assert shorter.size == WAVE.size
    assert not shorter[16_000:].any()
    assert shorter[:16_000].any()


def test_rawboost_is_a_condition_of_the_augmentation():
    preset = yaml.safe_load((ROOT / "presets" / "asvspoof2019la_fgfm.yaml").read_text())
    values = preset["finetune"]["conformer_fgfm"]["augment"]
    chain = augmentation(most=1, conditions=[values])
    generator = rng(3)
    generator.random(), generator.integers(1, 2), generator.permutation(1)
    expected = TypeAdapter(AnyAugmentation).validate_python(values).apply(WAVE, generator)
    np.testing.assert_array_equal(chain.apply(WAVE, rng(3)), expected)
    with pytest.raises(ValueError, match="most 3 exceeds the 1 conditions"):
        augmentation(most=3, conditions=[values])


def run(*arguments):
    return CliRunner().invoke(main, ["distort", *map(str, arguments)])


@pytest.fixture
def recording(tmp_path, monkeypatch):
    # No project: the conditions are those of the package.
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "in.wav"
    soundfile.write(path, np.stack([WAVE, WAVE], axis=1), SAMPLE_RATE)
    return path


def test_the_command_writes_what_the_condition_makes(recording):
    heard = soundfile.read(recording, dtype="float32")[0].mean(axis=1)
    for name in ("out.flac", "out.wav"):
        result = run(recording, name, "--condition", "white_snr10", "--seed", 3)
        assert result.exit_code == 0, result.output
        first, second = result.stdout.splitlines()
        assert first == f"{name}: white_snr10, seed 3, 2.00 s in, 2.00 s out"
        assert json.loads(second) == {"kind": "noise", "colour": "white", "snr_db": 10}
        made, rate = soundfile.read(name, dtype="float32")
        assert rate == SAMPLE_RATE
        expected = CONDITIONS["white_snr10"].apply(heard, rng(3))
        np.testing.assert_allclose(made, expected, atol=1 / 32768)
    assert sorted(path.name for path in Path().iterdir()) == ["in.wav", "out.flac", "out.wav"]
    run(recording, "other.wav", "--condition", "white_snr10", "--seed", 4)
    assert Path("other.wav").read_bytes() != Path("out.wav").read_bytes()


def test_the_command_says_when_the_length_changes_and_clips(recording):
    Path("own.yaml").write_text("loud: {kind: chain, steps: [{kind: level, gain_db: 40}]}\n")
    assert (
        run(recording, "out.wav", "--condition", "loud", "--conditions", "own.yaml").exit_code == 0
    )
    made = soundfile.read("out.wav", dtype="int16")[0]
    assert (made.min(), made.max()) == (-32768, 32767)
    result = run(recording, "out.wav", "--condition", "pad_500ms")
    assert "2.00 s in, 3.00 s out" in result.stdout


def test_the_command_refuses_what_it_should(recording):
    before = recording.read_bytes()
    (recording.parent / "link.wav").symlink_to(recording)
    for arguments, message in [
        ((recording, recording, "--condition", "clip_1pct"), "is the recording itself"),
        ((recording, "link.wav", "--condition", "clip_1pct"), "is the recording itself"),
        ((recording, "out.mp3", "--condition", "clip_1pct"), "ends in .flac or .wav"),
        ((recording, "out.wav", "--condition", "clip_99"), "no condition 'clip_99'; expected"),
        (("none.wav", "out.wav", "--condition", "clip_1pct"), "none.wav: no such file"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 1
        assert message in result.stderr
    assert recording.read_bytes() == before
    assert not Path("out.wav").exists()


def test_a_project_has_conditions_of_its_own(recording):
    path = recording.parent / READY
    path.parent.mkdir(parents=True)
    path.write_text("half: {kind: level, gain_db: -6}\n")
    assert run(recording, "out.wav", "--condition", "half").exit_code == 0
    assert "expected one of half" in run(recording, "out.wav", "--condition", "clip_1pct").stderr
