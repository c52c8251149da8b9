"""Long recordings: `python -m benchmarks.detect BUNDLE [MINUTES [FORMAT...]]`.

Joins utterances of the demo corpus in results/demo to a recording of MINUTES (60): bona fide ones,
and those of the set eval_partial, whose spoofed parts are known. Writes it as WAV, FLAC, MP3, OGG,
M4A and MP4, runs `mixframe detect` on each and prints time, peak memory, score, and the regions
held against the truth.
"""

import json
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, read
from mixframe.experiment.layout import Layout
from mixframe.metrics.segments import segment_f1

STEP = 0.02
"""Seconds; parts are compared on this grid."""
IOU = 0.5
FORMATS = {
    "wav": None,
    "flac": None,
    "mp3": None,
    "ogg": None,
    "m4a": "ipod",
    "mp4": "mp4",
}
"""FFmpeg's container where libsndfile does not write the format."""

Spans = list[tuple[float, float]]


def joined(minutes: float) -> tuple[np.ndarray, Spans]:
    """Return (n,) float32 samples at 16 kHz, and the spoofed parts in seconds."""
    table = manifest.read(Layout("demo").manifest, ["eval_seen", "eval_unseen", "eval_partial"])
    table = table[(table["label"] == "bonafide") | (table["set"] == "eval_partial")]
    order = np.random.default_rng(0).permutation(len(table))
    refs, regions = manifest.refs(table), table["regions"].tolist()
    waves, spans, at = [], [], 0
    for place in range(sys.maxsize):
        row = order[place % len(order)]
        wave = read(refs[row])
        starts = np.asarray(regions[row], dtype=np.int64).reshape(-1, 2) + at
        spans += [(a / SAMPLE_RATE, b / SAMPLE_RATE) for a, b in starts.tolist()]
        waves.append(wave)
        at += wave.size
        if at >= minutes * 60 * SAMPLE_RATE:
            break
    return np.concatenate(waves), spans


def write(path: Path, wave: np.ndarray, container: str | None) -> None:
    """Encode a recording; AAC at 64 kbit/s where FFmpeg does it."""
    if container is None:
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as sound:
            # Vorbis of libsndfile overflows its stack when it gets an hour at once.
            for start in range(0, wave.size, SAMPLE_RATE):
                sound.write(wave[start : start + SAMPLE_RATE])
        return
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream("aac", rate=SAMPLE_RATE)
        stream.layout, stream.bit_rate = "mono", 64_000
        for start in range(0, wave.size, 1024):
            part = np.ascontiguousarray(wave[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            frame.time_base = Fraction(1, SAMPLE_RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def heard(path: Path, bundle: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Run the command; return what it says of the file, and seconds and peak memory in MiB."""
    report = path.with_suffix(".json")
    command = ["-m", "mixframe", "detect", str(path), "--model", bundle, "--json", str(report)]
    start = time.perf_counter()
    process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *command])
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"{path.name}: mixframe detect failed")
    figures = {
        "wall_s": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }
    return json.loads(report.read_text())["results"][0], figures


def mask(spans: Spans, seconds: float) -> np.ndarray:
    """Return (n,) bool on the grid: whether its middle lies in one of the spans."""
    middles = (np.arange(int(seconds / STEP)) + 0.5) * STEP
    inside = np.zeros(middles.size, dtype=bool)
    for start, end in spans:
        inside |= (middles >= start) & (middles < end)
    return inside


def main() -> None:
    """Print the figures."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    bundle, minutes, *suffixes = [*sys.argv[1:], "60"] if len(sys.argv) == 2 else sys.argv[1:]
    wave, spans = joined(float(minutes))
    seconds = wave.size / SAMPLE_RATE
    truth = mask(spans, seconds)
    print(f"{seconds:.0f} s, {len(spans)} spoofed parts, {truth.mean():.1%} of the time")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in suffixes or FORMATS:
            path = Path(folder) / f"recording.{suffix}"
            write(path, wave, FORMATS[suffix])
            result, used = heard(path, bundle)
            guess = mask([(r["start"], r["end"]) for r in result["regions"] or []], seconds)
            parts = segment_f1([truth], [guess], IOU)
            warned = [warning["name"] for warning in result["warnings"]]
            figures[suffix] = {
                **used,
                "seconds": result["seconds"],
                "windows": len(result["windows"]),
                "score": result["score"],
                "mean": float(np.mean([window["score"] for window in result["windows"]])),
                **parts,
                "warnings": warned,
            }
            print(
                f"{suffix:5} {used['wall_s']:6.1f} s ({used['cpu_s']:.1f} s of CPU)  "
                f"{used['peak_mib']:5.0f} MiB  lowest {result['score']:+.3f} "
                f"mean {figures[suffix]['mean']:+.3f}  "
                f"time: P {parts['frame_precision']:.2f} R {parts['frame_recall']:.2f} "
                f"F1 {parts['frame_f1']:.2f}  parts: F1 {parts['segment_f1']:.2f}  "
                f"{' '.join(warned)}"
            )
            path.unlink()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
