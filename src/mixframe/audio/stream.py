"""Audio of any container and length, decoded part by part, so that memory stays bounded.

libsndfile decodes what it knows, as for `mixframe.audio.io`; FFmpeg the rest, of video the audio
alone. Files are read through Python: whatever stands in them, FFmpeg opens no other file and no
address (playlists name some).
"""

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from mixframe.audio.io import (
    LARGEST_FILTER,
    RATES,
    SAMPLE_RATE,
    Waveform,
    ratio,
    resample,
    swresample,
)
from mixframe.base.errors import MixframeError

WHOLE_SECONDS = 60
"""Up to here a recording is resampled in one piece, as `mixframe.audio.io.read` does it."""

MOST_LOST = 0.05
"""Share of packets that FFmpeg cannot decode from which a file counts as unreadable."""

SHORTFALL_SECONDS = 0.5
"""MP4 and its kin whose audio ends so much before their index says are truncated."""

_BLOCK = 2**17
"""Samples of all channels that libsndfile decodes at once."""

Native = npt.NDArray[np.float32]
"""(n, channels) at the file's own rate, full scale at 1."""


class _Within:
    """A file in which nothing is before its beginning or beyond all files, whatever headers say.

    What Python raises there, libsndfile's binding prints and FFmpeg's drops or raises.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


class AudioStream:
    """The audio of an open file.

    Attributes:
        name: what messages call the file.
        rate: the file's own, in Hz.
        channels: the file's own; they are averaged.
        seconds: duration as the header has it, which can be wrong; None where it has none.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Read the header.

        Args:
            file: seekable; it is read as long as the stream is.

        Raises:
            MixframeError: nothing that libsndfile or FFmpeg can decode, encrypted audio, or a
                sampling rate outside `RATES`.
        """
        self.name = name
        within = _Within(file)
        if not within.seek(0, 2):
            raise MixframeError(f"{name}: the file is empty")
        within.seek(0)
        self._decoder: _Sndfile | _Ffmpeg
        try:
            self._decoder = _Sndfile(within, name)
        except soundfile.LibsndfileError:
            self._decoder = _Ffmpeg(within, name)
        self.rate, self.channels = self._decoder.rate, self._decoder.channels
        self.seconds = self._decoder.seconds
        if not RATES[0] <= self.rate <= RATES[1]:
            raise MixframeError(
                f"{name}: the header says {self.rate:,} Hz; expected a sampling rate of "
                f"{RATES[0]:,} to {RATES[1]:,} Hz"
            )

    @property
    def lost(self) -> int:
        """Packets that could not be decoded so far and were left out."""
        return self._decoder.lost

    def blocks(self) -> Iterator[Waveform]:
        """Decode the file, once.

        Recordings of up to `WHOLE_SECONDS` give the samples of `mixframe.audio.io.read`. Longer
        ones of another rate than 16 kHz pass the same filter in parts, or swresample where that
        filter would be larger than `LARGEST_FILTER`.

        Yields:
            (n,) float32 at 16 kHz, full scale at 1, n > 0.

        Raises:
            MixframeError: damaged, truncated, without samples, or with samples not finite.
        """
        parts = self._mono()
        if self.rate != SAMPLE_RATE:
            parts = _resampled(parts, self.rate)
        empty = True
        for part in parts:
            if part.size:
                empty = False
                yield part
        if empty:
            raise MixframeError(f"{self.name}: audio without samples")

    def _mono(self) -> Iterator[Waveform]:
        for part in self._decoder.parts():
            mono = part.mean(axis=1) if part.shape[1] > 1 else part[:, 0]
            if not np.isfinite(mono).all():
                raise MixframeError(f"{self.name}: audio has samples that are not finite")
            yield mono


class _Sndfile:
    """A file that libsndfile decodes."""

    def __init__(self, file: _Within, name: str) -> None:
        """Read the header.

        Raises:
            soundfile.LibsndfileError: it cannot.
        """
        self._file, self._name = file, name
        self._sound = soundfile.SoundFile(file)
        self.rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        # Streams that were written to a pipe do not know.
        known = 0 < self._sound.frames < 2**62 and self.rate > 0
        self.seconds = self._sound.frames / self.rate if known else None
        self.lost = 0

    def parts(self) -> Iterator[Native]:
        done, size = 0, max(1, _BLOCK // self.channels)
        try:
            while len(part := self._sound.read(size, dtype="float32", always_2d=True)):
                yield part
                done += len(part)
        except soundfile.LibsndfileError as error:
            yield from self._parts_of_flac(done, error)

    def _parts_of_flac(self, done: int, error: soundfile.LibsndfileError) -> Iterator[Native]:
        """Decode the rest of FLAC in which libFLAC loses sync and FFmpeg does not.

        See `mixframe.audio.io.decode_flac`: the samples must be as many as the header says.
        """
        self._file.seek(0)
        if self._file.read(4) != b"fLaC":
            raise MixframeError(f"{self._name}: not decodable: {error}") from error
        decoder, seen = _Ffmpeg(self._file, self._name), 0
        for part in decoder.parts():
            seen += len(part)
            if seen > done:
                yield part[max(0, len(part) - (seen - done)) :]
        if seen != self._sound.frames or decoder.lost:
            raise MixframeError(f"{self._name}: not decodable: {error}") from error


class _Ffmpeg:
    """A file that FFmpeg decodes."""

    def __init__(self, file: _Within, name: str) -> None:
        """Read the header.

        Raises:
            MixframeError: it cannot, or there is no audio or none that can be decoded.
        """
        import av

        file.seek(0)
        encrypted = _is_encrypted(file)
        file.seek(0)
        try:
            # With no protocol allowed, what a playlist names is not opened.
            container = av.open(file, "r", options={"protocol_whitelist": "none"})
        except (av.FFmpegError, ValueError) as error:
            raise MixframeError(
                f"{name}: neither libsndfile nor FFmpeg can read it as audio; it is damaged, "
                "truncated or no audio at all"
            ) from error
        stream: Any = container.streams.best("audio")
        if stream is None:
            raise MixframeError(f"{name}: no audio stream in it ({container.format.long_name})")
        if encrypted:
            raise MixframeError(f"{name}: its audio is encrypted; there is nothing to hear")
        # A stream that FFmpeg has no decoder for has neither attribute.
        if not getattr(stream, "rate", 0) or not getattr(stream, "channels", 0):
            raise MixframeError(f"{name}: FFmpeg does not tell rate and channels of its audio")
        self._name, self._container, self._stream = name, container, stream
        self.rate: int = stream.rate
        self.channels: int = stream.channels
        self.seconds = _seconds(container, stream)
        self.lost = 0

    def parts(self) -> Iterator[Native]:
        import av

        stream = self._stream
        planar = av.AudioResampler("fltp", stream.layout, self.rate)
        done = n_packets = 0
        try:
            for packet in self._container.demux(stream):
                n_packets += 1
                frames = [
                    part for frame in self._decoded(packet) for part in planar.resample(frame)
                ]
                for part in frames:
                    done += part.samples
                    yield _native(part)
            for part in planar.resample(None):
                done += part.samples
                yield _native(part)
        except (av.FFmpegError, ValueError) as error:
            at = done / self.rate
            raise MixframeError(f"{self._name}: not decodable at {at:.1f} s: {error}") from error
        at, expected = done / self.rate, self.seconds or 0.0
        if "mp4" in self._container.format.name and expected - at > SHORTFALL_SECONDS:
            raise MixframeError(
                f"{self._name}: truncated: its audio ends at {at:.1f} of {expected:.1f} s"
            )
        if self.lost > MOST_LOST * n_packets:
            raise MixframeError(
                f"{self._name}: {self.lost} of {n_packets} packets are not decodable; the file is "
                "damaged"
            )

    def _decoded(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(packet.decode())
        except av.FFmpegError:
            self.lost += 1
            return []


def _native(frame: Any) -> Native:
    """Return (n, channels) of a planar frame of FFmpeg."""
    samples: Native = frame.to_ndarray().T
    return samples


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1_000_000


def _is_encrypted(file: _Within) -> bool:
    """Tell whether an MP4's index has encrypted audio; False for other files.

    ISO/IEC 14496-12, section 8.12: the sample entries of protected audio are called enca.
    """
    start, end = 0, file.seek(0, 2)
    while start < end:
        file.seek(start)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if len(header) < 8 or (start == 0 and kind != b"ftyp"):
            return False
        if kind == b"moov":
            file.seek(start)
            return b"enca" in file.read(min(size or end, end))
        if size < 8:
            return False
        start += size
    return False


def _resampled(parts: Iterator[Waveform], rate: int) -> Iterator[Waveform]:
    """Convert (n,) samples at `rate` Hz to 16 kHz."""
    held: list[Waveform] = []
    for part in parts:
        held.append(part)
        if sum(p.size for p in held) > WHOLE_SECONDS * rate:
            break
    else:
        if held:
            yield resample(np.concatenate(held), rate)
        return
    step, new = ratio(rate)
    convert = swresample if step * new > LARGEST_FILTER else _in_parts
    yield from convert(chain(held, parts), rate)


def read_whole(path: Path, name: str) -> Waveform:
    """Return all of a recording: (n,) float32 at 16 kHz, one channel.

    Raises:
        MixframeError: as `AudioStream`.
    """
    with path.open("rb") as file:
        return np.concatenate(list(AudioStream(file, name).blocks()))


def _in_parts(parts: Iterator[Waveform], rate: int) -> Iterator[Waveform]:
    """Resample with the filter of `resample`, each part with as much around it as that sees.

    Parts begin at multiples of the samples in that last as long as a whole number of samples out,
    so that the filter's phases are those of the whole.
    """
    step, new = ratio(rate)
    # torchaudio's defaults: 6 zero crossings on a side of a filter cut off at 0.99 of Nyquist's.
    around = 1 + math.ceil(math.ceil(6 * step / (min(step, new) * 0.99)) / step)
    buffer = np.zeros(0, np.float32)
    before = 0
    for part in parts:
        buffer = np.concatenate([buffer, part])
        ready = buffer.size // step - before - 2 * around
        if ready > 0:
            end = before + ready
            out = resample(buffer[: (end + around) * step], rate)
            yield out[before * new : end * new]
            kept = max(0, end - around)
            buffer, before = buffer[kept * step :], end - kept
    yield resample(buffer, rate)[before * new :]
