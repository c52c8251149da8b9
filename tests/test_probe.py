"""Probing: what files hold, what is wrong with them, and going on after a kill."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from mixframe.audio.io import AudioRef, encode_flac, read, tar_writer
from mixframe.corpora.probe import Probed, Target, probe, probe_one
from tests.conftest import tone


def target(path):
    info = path.stat()
    return Target(AudioRef(str(path)), info.st_size, info.st_mtime_ns)


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_the_length_is_that_of_what_is_read(tmp_path, suffix, rate, channels):
    path = tmp_path / f"x.{suffix}"
    wave = tone(rate + 17, 1)
    soundfile.write(path, np.stack([wave] * channels, 1), rate)
    found = probe_one(AudioRef(str(path)), decode=True)
    assert (found.rate, found.channels, found.problem) == (rate, channels, "")
    assert found.samples == read(AudioRef(str(path))).size
    if suffix in ("flac", "wav"):
        assert probe_one(AudioRef(str(path)), decode=False) == found


def test_what_cannot_be_used_is_said_and_not_raised(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF but no more")
    assert "not decodable" in probe_one(AudioRef(str(path)), True).problem
    soundfile.write(path, np.zeros(0), 16_000)
    assert probe_one(AudioRef(str(path)), True).problem == "no samples"
    assert probe_one(AudioRef(str(path)), False).problem == "no samples"
    soundfile.write(path, np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    assert "not finite" in probe_one(AudioRef(str(path)), True).problem
    assert "no such audio file" in probe_one(AudioRef(str(tmp_path / "none")), True).problem
    cut = tmp_path / "cut.flac"
    cut.write_bytes(encode_flac(tone(32_000, 1))[:20_000])
    assert probe_one(AudioRef(str(cut)), True).problem
    assert not probe_one(AudioRef(str(cut)), False).problem


def test_flac_that_only_ffmpeg_reads_is_usable(tmp_path, monkeypatch):
    path = tmp_path / "x.flac"
    path.write_bytes(encode_flac(tone(1234, 1)))

    def lost_sync(*_):
        raise soundfile.LibsndfileError(0)

    monkeypatch.setattr(soundfile, "SoundFile", lost_sync)
    assert probe_one(AudioRef(str(path)), True) == Probed(1234, 16_000, 1, "")


def test_results_are_cached_until_a_file_changes(tmp_path, capsys):
    cache = tmp_path / "cache" / "c.jsonl"
    for i in range(5):
        soundfile.write(tmp_path / f"{i}.wav", tone(1000 + i, i), 16_000)
    paths = [tmp_path / f"{i}.wav" for i in range(5)]
    first = probe([target(p) for p in paths], cache, True, 1, "test")
    assert first == [Probed(1000 + i, 16_000, 1, "") for i in range(5)]
    soundfile.write(paths[2], tone(900, 1), 16_000)
    again = probe([target(p) for p in paths], cache, True, 1, "test")
    assert again[2].samples == 900
    assert "4 of 5 files are known" in capsys.readouterr().err
    assert len(cache.read_text().splitlines()) == 6
    # Headers alone were not all that is known.
    probe([target(p) for p in paths], cache, False, 1, "test")
    assert len(cache.read_text().splitlines()) == 11


def test_an_unfinished_line_is_cut_off(tmp_path):
    cache = tmp_path / "c.jsonl"
    soundfile.write(tmp_path / "a.wav", tone(1000, 0), 16_000)
    probe([target(tmp_path / "a.wav")], cache, True, 1, "test")
    whole = cache.read_text()
    cache.write_text(whole + whole[: len(whole) // 2])
    soundfile.write(tmp_path / "b.wav", tone(1001, 0), 16_000)
    found = probe([target(tmp_path / n) for n in ("a.wav", "b.wav")], cache, True, 1, "test")
    assert [f.samples for f in found] == [1000, 1001]
    assert all(json.loads(line) for line in cache.read_text().splitlines())


def test_members_of_a_tar_and_any_number_of_workers(tmp_path):
    with tar_writer(tmp_path / "a.tar") as audio:
        refs = [audio.add(f"{i}.flac", encode_flac(tone(1000 + i, i))) for i in range(150)]
    info = (tmp_path / "a.tar").stat()
    targets = [Target(ref, info.st_size, info.st_mtime_ns) for ref in refs]
    two = probe(targets, tmp_path / "two.jsonl", True, 2, "test")
    assert [f.samples for f in two] == [1000 + i for i in range(150)]
    assert probe(targets, tmp_path / "one.jsonl", True, 1, "test") == two
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


RUN = """
import sys
from pathlib import Path
from mixframe.audio.io import AudioRef
from mixframe.corpora.probe import Target, probe
if __name__ == "__main__":
    path = Path(sys.argv[1])
    targets = [Target(AudioRef(str(path)), i, 0) for i in range(20_000)]
    probe(targets, Path(sys.argv[2]), True, 2, "test")
"""


def test_a_killed_run_goes_on_where_it_was_and_leaves_no_process(tmp_path):
    soundfile.write(tmp_path / "x.flac", tone(16_000, 1), 16_000)
    (tmp_path / "run.py").write_text(RUN)
    cache = tmp_path / "c.jsonl"
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "x.flac"), str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not cache.is_file() or cache.stat().st_size < 50_000:
        time.sleep(0.05)
    process.kill()
    # The workers hold the other end of the pipe for as long as they live.
    process.communicate(timeout=20)
    done = cache.read_bytes().count(b"\n")
    assert 0 < done < 20_000
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{done:,} of 20,000 files are known" in again.stderr
    lines = cache.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 20_000
