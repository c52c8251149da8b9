"""Audio in and out: parts equal slices of the whole, and what cannot be used is named."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.audio.io import AudioRef, decode_flac, encode_flac, read, resample, tar_writer
from mixframe.audio.stream import read_whole
from mixframe.base.errors import MixframeError
from mixframe.corpora.probe import probe_one
from tests.conftest import tone


def test_members_of_a_tar_read_like_files(tmp_path):
    waves = [tone(n, seed=n) for n in (1, 511, 512, 16_000)]
    with tar_writer(tmp_path / "a.tar") as audio:
        refs = [audio.add(f"{i}.flac", encode_flac(w)) for i, w in enumerate(waves)]
    for ref, wave in zip(refs, waves, strict=True):
        assert read(ref) == pytest.approx(wave, abs=1 / 32768)
    with tar_writer(tmp_path / "b.tar") as audio:
        for i, w in enumerate(waves):
            audio.add(f"{i}.flac", encode_flac(w))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@given(
    start=st.integers(0, 3999), length=st.integers(1, 4000), suffix=st.sampled_from(["flac", "wav"])
)
def test_parts_equal_slices_of_the_whole(tmp_path_factory, start, length, suffix):
    path = tmp_path_factory.mktemp("a") / f"x.{suffix}"
    soundfile.write(path, tone(4000, seed=1), 16_000)
    length = min(length, 4000 - start)
    part = read(AudioRef(str(path)), start, length)
    assert np.array_equal(part, read(AudioRef(str(path)))[start : start + length])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_converted(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "x.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    wave = read(AudioRef(str(tmp_path / "x.wav")))
    assert wave.dtype == np.float32
    assert wave.size == 16_000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(wave - expected)[500:-500].max() < 0.01


def test_channels_are_averaged(tmp_path):
    left, right = tone(1000, 1), tone(1000, 2)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    assert read(AudioRef(str(tmp_path / "x.wav"))) == pytest.approx((left + right) / 2, abs=1e-6)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "x.wav"
    ref = AudioRef(str(path))
    with pytest.raises(MixframeError, match=r"x\.wav: no such audio file"):
        read(ref)
    path.write_bytes(b"RIFF but no more")
    with pytest.raises(MixframeError, match=r"x\.wav at byte 0: not decodable"):
        read(ref)
    for rate in (8_000, 16_000):
        soundfile.write(path, np.zeros(0), rate)
        with pytest.raises(MixframeError, match="without samples"):
            read(ref)
    soundfile.write(path, np.array([0.0, np.inf]), 16_000, subtype="FLOAT")
    with pytest.raises(MixframeError, match="not finite"):
        read(ref)
    soundfile.write(path, np.zeros(100), 16_000)
    with pytest.raises(MixframeError, match="50 samples from sample 50, expected 60"):
        read(ref, 50, 60)
    with pytest.raises(MixframeError, match="the file is truncated"):
        read(AudioRef(str(path), 10, 10_000))
    # Nothing tries to hold so many.
    with pytest.raises(MixframeError, match="the file is truncated"):
        read(AudioRef(str(path), 10, 2**62))


def test_what_a_decoder_leaves_at_damage_is_read_on_behind_it(tmp_path, monkeypatch):
    wave = tone(1000, 1)
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")

    class Halting(soundfile.SoundFile):
        def read(self, frames=-1, *args, **options):
            return super().read(300 if frames < 0 else min(frames, 300), *args, **options)

    monkeypatch.setattr(soundfile, "SoundFile", Halting)
    assert np.array_equal(read(AudioRef(str(tmp_path / "x.wav"))), wave)


def with_rate(path, rate):
    """A WAV file of a tenth of a second whose header says that rate."""
    soundfile.write(path, tone(1_600, 1), 16_000)
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    return AudioRef(str(path))


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (2_147_483_647, "the header says 2,147,483,647 Hz; expected a sampling rate of 1,000 to"),
        (768_001, "the header says 768,001 Hz; expected"),
        (999, "the header says 999 Hz; expected"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_by_name(tmp_path, rate, message):
    ref = with_rate(tmp_path / "a.wav", rate)
    with pytest.raises(MixframeError, match=rf"a\.wav at byte 0: {message}"):
        read(ref)
    assert message in probe_one(ref, decode=False).problem


@pytest.mark.parametrize(
    "rate", [1_000, 1_001, 8_000, 8_051, 22_050, 44_056, 44_099, 767_999, 768_000]
)
def test_rates_of_recordings_are_read(tmp_path, rate):
    ref = with_rate(tmp_path / "a.wav", rate)
    wave = read(ref)
    assert wave.size == -(-1_600 * 16_000 // rate) == probe_one(ref, decode=False).samples
    # As `mixframe detect` hears it.
    assert np.array_equal(wave, read_whole(tmp_path / "a.wav", "a.wav"))


@settings(deadline=None, max_examples=40)
@given(rate=st.sampled_from([8_051, 44_099, 767_999]), n=st.integers(0, 3_000))
def test_resampling_gives_as_many_samples_as_it_says(rate, n):
    assert resample(tone(n, 1), rate).size == -(-n * 16_000 // rate)


def test_a_rate_that_shares_no_divisor_takes_little_memory(tmp_path):
    """The filter of torchaudio for 8,051 Hz took 2.5 GiB."""
    ref = with_rate(tmp_path / "a.wav", 8_051)
    code = (
        "from mixframe.audio.io import AudioRef, read; "
        "from mixframe.base.hardware import PeakMemory; "
        f"peak = PeakMemory(); read(AudioRef({ref.path!r})); print(peak.gib())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 0.5


def test_rates_on_both_sides_of_the_largest_filter_sound_alike():
    for rate in (8_050, 8_051):
        wave = np.sin(2 * np.pi * 500 * np.arange(rate) / rate).astype(np.float32)
        expected = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)
        assert np.abs(resample(wave, rate) - expected)[200:-200].max() < 0.01


def test_flac_that_claims_to_be_endless_is_refused_by_name(tmp_path):
    data = bytearray(encode_flac(tone(1_600, 1)))
    # STREAMINFO: 36 bits of samples end at byte 26.
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    with pytest.raises(MixframeError, match="the header says 68,719,476,735 samples of 1 channels"):
        read(AudioRef(str(path)))
    assert read(AudioRef(str(path)), 0, 800).size == 800


@pytest.mark.parametrize(("path", "offset"), [("a\0b", 0), ("{}", 0), ("{}/a.wav", -1)])
def test_a_place_that_cannot_be_read_is_named(tmp_path, path, offset):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(MixframeError, match="cannot be read"):
        read(AudioRef(path.format(tmp_path), offset))


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_ffmpeg_decodes_flac_to_the_same_samples(tmp_path, rate, channels):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([tone(9_999, i) for i in range(channels)], 1), rate)
    samples, found = decode_flac(path.read_bytes())
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert found == rate
    assert np.array_equal(samples, expected)


def test_ffmpeg_helps_out_where_libsndfile_gives_up_and_only_with_whole_files(
    tmp_path, monkeypatch
):
    path = tmp_path / "x.flac"
    path.write_bytes(encode_flac(tone(32_000, 1)))
    whole = read(AudioRef(str(path)))

    def lost_sync(*_):
        raise soundfile.LibsndfileError(0)

    with monkeypatch.context() as patched:
        patched.setattr(soundfile, "SoundFile", lost_sync)
        assert np.array_equal(read(AudioRef(str(path))), whole)
        assert np.array_equal(read(AudioRef(str(path)), 100, 50), whole[100:150])
    data = path.read_bytes()
    middle = len(data) // 2
    for damaged in (
        data[:middle],
        data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        data[:middle] + bytes(40) + data[middle:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(MixframeError, match="not decodable"):
            read(AudioRef(str(path)))


def test_what_cannot_be_written_is_refused():
    with pytest.raises(MixframeError, match="without samples"):
        encode_flac(np.zeros(0))
    with pytest.raises(MixframeError, match="not finite"):
        encode_flac(np.array([0.0, np.nan]))
