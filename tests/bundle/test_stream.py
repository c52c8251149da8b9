"""Audio of any container, decoded part by part."""

import io
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from mixframe.audio import stream
from mixframe.audio.io import AudioRef, read, resample
from mixframe.audio.stream import AudioStream
from mixframe.base.errors import MixframeError
from tests.bundle import media
from tests.conftest import tone


def decoded(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.concatenate(list(AudioStream(file, path.name).blocks()))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_short_files_give_the_samples_that_read_gives(
    tmp_path: Path, rate: int, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    stereo = np.stack([tone(rate, 1), tone(rate, 2)], axis=1)
    soundfile.write(path, stereo, rate)
    assert np.array_equal(decoded(path), read(AudioRef(str(path))))


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        ("m4a", "aac", "mp4"),
        ("mp4", "aac", "mp4"),
        ("mkv", "libopus", "matroska"),
        ("webm", "libopus", "webm"),
        ("avi", "mp2", "avi"),
        ("mov", "alac", "mov"),
    ],
)
def test_ffmpeg_reads_the_rest(tmp_path: Path, suffix: str, codec: str, container: str) -> None:
    wave = tone(96000, 1)
    path = media.write(tmp_path / f"a.{suffix}", np.stack([wave, wave]), 48000, codec, container)
    heard, expected = decoded(path), resample(wave, 48000)
    assert abs(heard.size - expected.size) < 2048
    # Encoders put some samples before the first one.
    likeness = correlate(heard, expected).max()
    assert likeness > 0.9 * np.linalg.norm(heard) * np.linalg.norm(expected)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 96000]),
    cuts=st.lists(st.integers(0, 9000), min_size=1, max_size=6),
)
def test_resampling_in_parts_is_resampling_the_whole(rate: int, cuts: list[int]) -> None:
    wave = tone(sum(cuts) + 1, 3)
    parts = np.split(wave, np.cumsum(cuts))
    heard = np.concatenate(list(stream._in_parts(iter(parts), rate)))
    expected = resample(wave, rate)
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() < 1e-6


def test_a_rate_without_a_common_divisor_is_resampled_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    rate = 44101
    soundfile.write(path, np.sin(2 * np.pi * 500 * np.arange(2 * rate) / rate) / 2, rate)
    heard = decoded(path)
    assert abs(heard.size - 32000) < 32
    expected = np.sin(2 * np.pi * 500 * np.arange(heard.size) / 16000) / 2
    assert np.abs(heard - expected)[100:-100].max() < 0.01


def test_the_header_says_rate_channels_and_duration(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((4410, 2)), 44100)
    media.write(tmp_path / "a.m4a", tone(8000, 1), 16000, "aac", "mp4")
    for name, expected in (("a.flac", (44100, 2, 0.1)), ("a.m4a", (16000, 1, 0.5))):
        with (tmp_path / name).open("rb") as file:
            heard = AudioStream(file, name)
            assert (heard.rate, heard.channels, heard.seconds) == pytest.approx(expected, abs=0.1)
            assert heard.lost == 0


def bad_files(folder: Path) -> dict[str, str]:
    """Make files that cannot be heard; what the message about each must say."""
    wave = tone(32000, 1)
    soundfile.write(folder / "nan.wav", np.where(np.arange(9) == 4, np.nan, 0), 16000, "FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("Dear diary,\n" * 40)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    media.write(folder / "whole.mp4", wave, 16000, "aac", "mp4")
    media.write(folder / "front.mp4", wave, 16000, "aac", "mp4", {"movflags": "+faststart"})
    for source, target in (("whole.mp4", "cut.mp4"), ("front.mp4", "cut_behind_index.mp4")):
        data = (folder / source).read_bytes()
        (folder / target).write_bytes(data[: len(data) // 2])
    media.write(folder / "secret.mp4", wave, 16000, "aac", "mp4", media.CENC)
    media.write_video(folder / "mute.mp4")
    soundfile.write(folder / "ok.wav", wave, 16000)
    data = bytearray((folder / "ok.wav").read_bytes())
    data[24:28] = struct.pack("<I", 2_147_483_647)
    (folder / "rate.wav").write_bytes(data)
    data = bytearray((folder / "ok.wav").read_bytes())
    data[20:22] = b"??"
    (folder / "codec.wav").write_bytes(data)
    soundfile.write(folder / "whole.w64", wave, 16000, format="W64")
    data = bytearray((folder / "whole.w64").read_bytes())
    # FFmpeg then seeks before the beginning of the file.
    data[60:60] = b"-inf"
    (folder / "chunk.w64").write_bytes(data)
    brand = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
    (folder / "index.mp4").write_bytes(brand + struct.pack(">I4sQ", 1, b"moov", 2**62))
    (folder / "beyond.mp4").write_bytes(brand + struct.pack(">I4sQ", 1, b"free", 2**64 - 1))
    (folder / "list.ffconcat").write_text("ffconcat version 1.0\nfile ok.wav\n")
    soundfile.write(folder / "whole.flac", wave, 16000)
    data = bytearray((folder / "whole.flac").read_bytes())
    (folder / "cut.flac").write_bytes(data[: len(data) // 2])
    return {
        "nan.wav": "not finite",
        "none.wav": "without samples",
        "empty.wav": "empty",
        "text.wav": "no audio at all",
        "noise.mp4": "no audio at all",
        "cut.mp4": "truncated",
        "cut_behind_index.mp4": "truncated: its audio ends at",
        "secret.mp4": "encrypted",
        "mute.mp4": "no audio stream",
        "rate.wav": "2,147,483,647 Hz",
        "codec.wav": "does not tell rate and channels",
        "chunk.w64": "no audio at all",
        "index.mp4": "no audio stream",
        "beyond.mp4": "no audio",
        "list.ffconcat": "no audio at all",
        "cut.flac": "not decodable",
    }


def test_bad_files_are_refused_in_one_sentence_that_names_them(tmp_path: Path) -> None:
    for name, said in bad_files(tmp_path).items():
        with pytest.raises(MixframeError, match=said) as refused:
            decoded(tmp_path / name)
        assert str(refused.value).startswith(f"{name}: ")
        assert "\n" not in str(refused.value)
    assert decoded(tmp_path / "ok.wav").size == 32000


def test_lost_packets_are_counted(tmp_path: Path) -> None:
    path = media.write(tmp_path / "a.mp4", tone(160000, 1), 16000, "aac", "mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 20000
    data[start : start + 200] = b"\xff" * 200
    with io.BytesIO(bytes(data)) as file:
        heard = AudioStream(file, "a.mp4")
        n_samples = sum(block.size for block in heard.blocks())
    assert 1 <= heard.lost <= 3
    assert n_samples > 150000


def test_flac_that_libsndfile_gives_up_on_goes_on_with_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(50000, 1), 16000)
    expected = decoded(path)
    read_part = soundfile.SoundFile.read

    def lose_sync(self: soundfile.SoundFile, *args: object, **options: object) -> np.ndarray:
        if self.tell() > 20000:
            raise soundfile.LibsndfileError(5)
        return read_part(self, *args, **options)

    monkeypatch.setattr(stream, "_BLOCK", 7000)
    monkeypatch.setattr(soundfile.SoundFile, "read", lose_sync)
    assert np.array_equal(decoded(path), expected)


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 32000, 2) as out:
        for _ in range(60):
            out.write(np.zeros((60 * 32000, 2), np.int16))
    with path.open("rb") as file:
        heard = AudioStream(file, path.name)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        n_samples = sum(block.size for block in heard.blocks())
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert n_samples == 3600 * 16000
    # Decoded, it would be 920 MB.
    assert after - before < 200 * 1024
