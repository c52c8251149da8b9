"""Containers of all kinds, made on the spot."""

from pathlib import Path
from typing import Any

import av
import numpy as np

CENC = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}
"""Options of FFmpeg's MP4 writer that encrypt."""


def write(
    path: Path,
    wave: np.ndarray,
    rate: int,
    codec: str,
    container: str,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode (n,) or (channels, n) samples with FFmpeg."""
    channels = np.atleast_2d(wave).astype(np.float32)
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), "fltp", layout)
    frame.sample_rate, frame.pts = rate, 0
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.layout = layout
        fifo = av.AudioFifo()
        for part in av.AudioResampler(stream.format.name, layout, rate).resample(frame):
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size) or fifo.read():
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


def write_video(path: Path) -> Path:
    """Write a video without sound."""
    with av.open(str(path), "w", format="mp4") as out:
        stream: Any = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path
