"""Audio in and out: whole utterances or parts of them, from plain files or from inside a tar."""

import io
import math
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path
from mixframe.base.folders import DATA, located

SAMPLE_RATE = 16_000
"""Hz. Every speech foundation model here takes 16 kHz; other rates are converted on reading."""

RATES = (1_000, 768_000)
"""Hz. A header that names another rate is taken for damaged."""

LARGEST_FILTER = 2**24
"""Coefficients of a resampling filter of torchaudio: one for each pair of samples in and out of its
smallest step. A rate that shares no large divisor with 16 kHz would need billions."""

MOST_VALUES = 2**31
"""Samples of all channels that are decoded at once: 8 GiB. A header can say anything."""

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioRef:
    """Where the encoded audio of an utterance is.

    Attributes:
        path: a file; `data/...` is below the data root (`mixframe.base.folders`), any other path
            relative to the repository root or absolute.
        offset: first byte inside `path`; 0 for a plain file.
        n_bytes: encoded bytes; 0 stands for the rest of the file.
    """

    path: str
    offset: int = 0
    n_bytes: int = 0

    def open(self) -> io.BytesIO:
        """Read the encoded bytes.

        Raises:
            MixframeError: the file is missing or shorter than it should be.
        """
        try:
            with located(self.path).open("rb") as stream:
                stream.seek(self.offset)
                # Not more than there is: memory is asked for before a byte is read.
                left = os.fstat(stream.fileno()).st_size - self.offset
                data = stream.read(min(self.n_bytes, max(left, 0)) if self.n_bytes else -1)
        except FileNotFoundError as error:
            downloaded = self.path.startswith(f"{DATA}/")
            hint = "; `mixframe download --preset NAME` fetches it" if downloaded else ""
            raise MixframeError(f"{located(self.path)}: no such audio file{hint}") from error
        # A path with a zero byte, or a place before the beginning, is a ValueError.
        except (OSError, ValueError) as error:
            raise MixframeError(
                f"{self.path!r} at byte {self.offset}: cannot be read ({error})"
            ) from error
        if len(data) < self.n_bytes:
            raise MixframeError(
                f"{self.path}: ends {self.n_bytes - len(data)} bytes before the audio at byte "
                f"{self.offset} does; the file is truncated"
            )
        return io.BytesIO(data)


Reader = Callable[[AudioRef, int, int | None], Waveform]
"""How a stage reads audio: as `read`, or from a cache before it."""


def read(ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
    """Decode 16 kHz mono audio with soundfile (FLAC, WAV, OGG, MP3).

    Args:
        start: first sample at 16 kHz.
        n_samples: how many samples from there; None for all the rest.

    Returns:
        (n_samples,) float32, full scale at 1. Several channels are averaged; another rate is
        resampled (`resample`) after the whole file was decoded. FLAC that libsndfile
        gives up on is decoded by FFmpeg (`decode_flac`).

    Raises:
        MixframeError: undecodable, empty, not finite, or shorter than asked for; a rate outside
            `RATES`; more samples than `MOST_VALUES`.
    """
    data = ref.open()
    place = f"{ref.path} at byte {ref.offset}"
    try:
        with soundfile.SoundFile(data) as stream:
            native = stream.samplerate == SAMPLE_RATE
            frames = n_samples if native and n_samples is not None else -1
            problem = header_problem(
                stream.samplerate, stream.channels, stream.frames if frames < 0 else frames
            )
            if problem:
                raise MixframeError(f"{place}: {problem}")
            if native and start:
                stream.seek(start)
            parts = [stream.read(frames, dtype="float32", always_2d=True)]
            # One reading stops at a damaged frame of an MP3, the next goes on behind it.
            while frames < 0 and len(parts[-1]):
                parts.append(stream.read(dtype="float32", always_2d=True))
            samples = np.concatenate(parts)
            rate = stream.samplerate
    except soundfile.LibsndfileError as error:
        decoded = decode_flac(data.getvalue())
        if decoded is None:
            raise MixframeError(f"{place}: not decodable: {error}") from error
        samples, rate = decoded
        if problem := rate_problem(rate):
            raise MixframeError(f"{place}: {problem}") from error
        if rate == SAMPLE_RATE:
            samples = samples[start:][:n_samples]
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if rate != SAMPLE_RATE:
        mono = resample(mono, rate)[start:]
        mono = mono if n_samples is None else mono[:n_samples]
    if mono.size == 0:
        raise MixframeError(f"{place}: audio without samples")
    if n_samples is not None and mono.size != n_samples:
        raise MixframeError(
            f"{place}: {mono.size} samples from sample {start}, expected {n_samples}"
        )
    if not np.isfinite(mono).all():
        raise MixframeError(f"{place}: audio has samples that are not finite")
    return mono


def rate_problem(rate: int) -> str:
    """Say why audio of a rate in Hz is not converted to 16 kHz; "" if it is."""
    if not RATES[0] <= rate <= RATES[1]:
        return f"{rate:,} Hz; expected a sampling rate of {RATES[0]:,} to {RATES[1]:,} Hz"
    return ""


def header_problem(rate: int, channels: int, frames: int) -> str:
    """Say why audio with such a header is not decoded in one piece; "" if it is.

    Args:
        frames: samples of each channel.
    """
    if channels * frames > MOST_VALUES:
        return (
            f"the header says {frames:,} samples of {channels} channels; expected at most "
            f"{MOST_VALUES:,} in all"
        )
    problem = rate_problem(rate)
    return problem and f"the header says {problem}"


def decode_flac(data: bytes) -> tuple[npt.NDArray[np.float32], int] | None:
    """Decode FLAC with FFmpeg.

    Some files of ASVspoof 2021 are valid for FFmpeg while recent versions of libFLAC, which
    soundfile uses, lose sync in them. Damaged files stay refused: the samples must be as many as
    the header says.

    Returns:
        (n, channels) samples, full scale at 1, and the rate in Hz; None if FFmpeg cannot decode
        the whole of it either.
    """
    if data[:4] != b"fLaC":
        return None
    try:
        samples, rate, expected = decode_ffmpeg(io.BytesIO(data))
    except MixframeError:
        return None
    return (samples.T, rate) if samples.shape[1] == expected else None


def decode_ffmpeg(source: str | io.BytesIO) -> tuple[npt.NDArray[np.float32], int, int | None]:
    """Decode the first audio stream of any file that FFmpeg reads.

    Args:
        source: a path, or the content of a file.

    Returns:
        (channels, n) samples, full scale at 1, the rate in Hz, and the duration that the header
        says, in units of the stream.

    Raises:
        MixframeError: FFmpeg reads no audio in it.
    """
    import av

    try:
        with av.open(source, "r") as container:
            stream = container.streams.audio[0]
            rate, duration = stream.rate, stream.duration
            planar = av.AudioResampler("fltp", stream.layout, rate)
            parts = [
                part.to_ndarray()
                for frame in [*container.decode(stream), None]
                for part in planar.resample(frame)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise MixframeError(f"no audio that FFmpeg reads ({error})") from error
    if not parts:
        raise MixframeError("audio without samples")
    return np.concatenate(parts, axis=1).astype(np.float32), rate, duration


def resample(samples: npt.NDArray[np.floating], rate: int) -> Waveform:
    """Convert (n,) samples at `rate` Hz to 16 kHz, ceil(n * 16,000 / rate) of them.

    By torchaudio's windowed sinc, or by swresample where its filter would be larger than
    `LARGEST_FILTER`.
    """
    wave = np.ascontiguousarray(samples, dtype=np.float32)
    if wave.size == 0:
        return wave
    step, new = ratio(rate)
    if step * new > LARGEST_FILTER:
        # Of very few samples it gives none.
        out = np.concatenate([wave[:0], *swresample(iter([wave]), rate)])
        size = -(-wave.size * SAMPLE_RATE // rate)
        return np.pad(out[:size], (0, max(0, size - out.size)))
    import torch
    import torchaudio

    return torchaudio.functional.resample(torch.from_numpy(wave), rate, SAMPLE_RATE).numpy()


def ratio(rate: int) -> tuple[int, int]:
    """Return the fewest samples, at `rate` Hz and at 16 kHz, that last equally long."""
    divisor = math.gcd(rate, SAMPLE_RATE)
    return rate // divisor, SAMPLE_RATE // divisor


def swresample(parts: Iterator[Waveform], rate: int) -> Iterator[Waveform]:
    """Convert (n,) samples at `rate` Hz to 16 kHz, part by part, as FFmpeg does.

    There can be some samples more or fewer than `resample` gives.
    """
    import av

    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    for part in parts:
        frame = av.AudioFrame.from_ndarray(part[None], format="flt", layout="mono")
        frame.sample_rate = rate
        for out in resampler.resample(frame):
            yield out.to_ndarray()[0]
    for out in resampler.resample(None):
        yield out.to_ndarray()[0]


def encode_flac(samples: npt.NDArray[np.floating]) -> bytes:
    """Encode (n,) samples in [-1, 1) as 16-bit mono FLAC at 16 kHz.

    Raises:
        MixframeError: no samples, or samples that are not finite.
    """
    if samples.size == 0:
        raise MixframeError("audio without samples cannot be written")
    if not np.isfinite(samples).all():
        raise MixframeError("audio with samples that are not finite cannot be written")
    buffer = io.BytesIO()
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(buffer, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


class TarWriter:
    """A tar of encoded audio whose bytes depend only on the members and their order."""

    def __init__(self, path: Path, stored_as: str) -> None:
        """Start a tar at `path`; `stored_as` is the name it will have when it is finished."""
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._stored_as = stored_as

    def add(self, name: str, data: bytes) -> AudioRef:
        """Append a member and return where its bytes lie."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(info, io.BytesIO(data))
        return AudioRef(self._stored_as, offset, len(data))

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()


@contextmanager
def tar_writer(path: Path) -> Iterator[TarWriter]:
    """Write a tar at `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        writer = TarWriter(temporary, str(path))
        try:
            yield writer
        finally:
            writer.close()
