"""Coding and decoding by FFmpeg's encoders, in memory, with their delay taken back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mixframe.audio.distortions.signal import Samples, Wave, convert, fit
from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError


@dataclass(frozen=True)
class Coder:
    """A codec of FFmpeg.

    Attributes:
        encoder: FFmpeg's name of it.
        decoder: FFmpeg's name of it.
        rate: Hz at which it is fed.
        delay: samples at `rate` by which it delays and FFmpeg does not take back.
        format: FFmpeg's name of the encoder's samples.
        layout: of channels; mono goes into both of stereo, which are averaged afterwards.
        bit_rates: bit/s that it takes.
        options: for its encoder.
    """

    encoder: str
    decoder: str
    rate: int
    delay: int
    format: str
    bit_rates: range | tuple[int, ...] = ()
    layout: str = "mono"
    options: Mapping[str, str] = field(default_factory=dict)


CODERS = {
    # ISO/IEC 13818-3, layer III at 16 kHz.
    "mp3": Coder(
        "libmp3lame",
        "mp3float",
        16_000,
        0,
        "fltp",
        (*range(8_000, 65_000, 8_000), *range(80_000, 161_000, 16_000)),
    ),
    # ISO/IEC 14496-3, low complexity; a frame of 1,024 samples has at most 6,144 bits.
    "aac": Coder("aac", "aac", 16_000, 1024, "fltp", range(8_000, 96_001)),
    # RFC 6716.
    "opus": Coder("libopus", "opus", 16_000, 0, "flt", range(6_000, 510_001)),
    # ITU-T G.711.
    "pcm_alaw": Coder("pcm_alaw", "pcm_alaw", 8_000, 0, "s16", (64_000,)),
    "pcm_mulaw": Coder("pcm_mulaw", "pcm_mulaw", 8_000, 0, "s16", (64_000,)),
    # ITU-T G.722: two quadrature mirror filters of 24 taps.
    "g722": Coder("g722", "g722", 16_000, 22, "s16", (64_000,)),
    # ITU-T G.726.
    "adpcm_g726": Coder("g726", "g726", 8_000, 0, "s16", tuple(range(16_000, 40_001, 8_000))),
    # 3GPP TS 26.090: it looks 5 ms ahead.
    "amr_nb": Coder(
        "libopencore_amrnb",
        "amrnb",
        8_000,
        40,
        "s16",
        (4_750, 5_150, 5_900, 6_700, 7_400, 7_950, 10_200, 12_200),
    ),
}
"""The codecs whose strength is a bit rate."""

VORBIS = Coder(
    "vorbis",
    "vorbis",
    16_000,
    0,
    "fltp",
    layout="stereo",
    options={"strict": "experimental", "flags": "+qscale"},
)
"""Xiph's Vorbis I; FFmpeg's own encoder codes two channels at a quality, not at a rate."""

TAIL = 4096
"""Zeros behind the samples, so that what is delayed comes out: more than two frames of any."""


def through(
    wave: Samples, coder: Coder, bit_rate: int = 0, options: Mapping[str, str] | None = None
) -> Wave:
    """Code and decode (n,) samples at 16 kHz; (n,), aligned with them.

    Args:
        bit_rate: in bit/s; 0 for coders that have no choice.
        options: further ones for the encoder.

    Raises:
        MixframeError: this FFmpeg has no such encoder; the message lists the codecs it has.
    """
    fed = convert(wave, SAMPLE_RATE, coder.rate)
    fed = np.clip(np.pad(fed, (0, coder.delay + TAIL)), -1, 1)
    encoder = _encoder(coder, bit_rate, {**coder.options, **(options or {})})
    packets = [packet for part in _parts(fed, encoder) for packet in encoder.encode(part)]
    decoder = _decoder(coder, bit_rate, encoder.extradata)
    parts = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    decoded = np.concatenate([_mono(part) for part in parts])
    rate = parts[0].sample_rate
    aligned = decoded[coder.delay * rate // coder.rate :]
    return np.asarray(fit(convert(aligned, rate, SAMPLE_RATE), wave.size), dtype=np.float64)


def has_encoder(coder: Coder) -> bool:
    """Tell whether this FFmpeg has the encoder."""
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        Codec(coder.encoder, "w")
    except UnknownCodecError:
        return False
    return True


def _encoder(coder: Coder, bit_rate: int, options: dict[str, str]) -> Any:
    import av

    if not has_encoder(coder):
        there = [name for name, one in {**CODERS, "vorbis": VORBIS}.items() if has_encoder(one)]
        raise MixframeError(
            f"this FFmpeg has no encoder {coder.encoder}; of the codecs it has "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    encoder: Any = av.CodecContext.create(coder.encoder, "w")
    encoder.sample_rate, encoder.layout, encoder.format = coder.rate, coder.layout, coder.format
    encoder.time_base = Fraction(1, coder.rate)
    encoder.options = options
    encoder.thread_count = 1
    if bit_rate:
        encoder.bit_rate = bit_rate
    encoder.open()
    return encoder


def _decoder(coder: Coder, bit_rate: int, extradata: bytes | None) -> Any:
    import av

    decoder: Any = av.CodecContext.create(coder.decoder, "r")
    decoder.sample_rate, decoder.layout = coder.rate, coder.layout
    decoder.thread_count = 1
    if coder.decoder == "g726":
        decoder.options = {"bits_per_coded_sample": str(bit_rate // coder.rate)}
    if extradata:
        decoder.extradata = extradata
    return decoder


def _parts(wave: Wave, encoder: Any) -> Iterator[Any]:
    """Yield (n,) samples as frames of the size that the encoder takes, and None for their end."""
    import av

    if encoder.format.name == "s16":
        samples = np.rint(wave * 32767).astype(np.int16)
    else:
        samples = wave.astype(np.float32)
    channels = encoder.layout.nb_channels
    size = encoder.frame_size or wave.size
    for start in range(0, wave.size, size):
        part = np.repeat(samples[None, start : start + size], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(part, encoder.format.name, encoder.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = (
            encoder.sample_rate,
            start,
            encoder.time_base,
        )
        yield frame
    yield None


def _mono(frame: Any) -> Wave:
    """Return the mean of the channels of a decoded frame: (n,), full scale at 1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    scale = 32767 if samples.dtype == np.int16 else 1
    return np.asarray(samples.mean(axis=0, dtype=np.float64) / scale)
