"""What the demo corpus does to samples: G.722, cutting at pauses, regions, and the final chain."""

import io
from collections import Counter
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.errors import MixframeError
from mixframe.base.schema import Above0, AtLeast0, Count, Positive, Range, Section
from mixframe.corpora.demo.attacks import AttackNames
from mixframe.corpora.demo.attacks.context import Wave

Pcm = npt.NDArray[np.int16]

CODEC_DELAY = 22
"""Samples by which G.722 delays: two 24-tap quadrature mirror filters (ITU-T G.722)."""

FRAME = SAMPLE_RATE // 100
"""Samples of a level frame: 10 ms."""
REGION_DRAWS = 20
"""Placements of regions that are tried for one in speech; the loudest is taken if none is."""


class Pieces(Section):
    """How prompts are cut.

    Attributes:
        min_seconds: shortest utterance, without the silence around it.
        max_seconds: longest; what has no pause to cut at and is longer is dropped.
        silence_db: frames this far below the prompt's loud frames (95th percentile) are silence.
        pause_db: the same for frames that a prompt may be cut in.
        min_pause_ms: shortest pause that is cut in.
        context_ms: silence kept around a piece for the attacks; the chain trims it.
    """

    min_seconds: Above0
    max_seconds: Above0
    silence_db: Above0
    pause_db: Above0
    min_pause_ms: Above0
    context_ms: AtLeast0


class Partial(Section):
    """How eval_partial's spoof utterances are spliced.

    Attributes:
        attacks: what is spliced in.
        source: "same": the attack's version of the utterance itself, at the same place; "other":
            of another utterance of the voice, at a random place.
        max_regions: most regions of an utterance; the number is drawn from 1 to this.
        ratio: smallest and largest share of the utterance that the regions make up.
        align_samples: regions start and end at multiples of this.
        min_region_steps: shortest region, in such steps.
        min_level_db: regions of speech are looked for, at most this far below the level of the
            whole utterance.
        crossfade_samples: blending at each end of a region, inside it.
        max_gain_db: a part is brought to the level of what it replaces by at most this.
    """

    attacks: AttackNames
    source: Literal["same", "other"]
    max_regions: Positive
    ratio: Range
    align_samples: Positive
    min_region_steps: Positive
    min_level_db: float
    crossfade_samples: Count
    max_gain_db: AtLeast0


class Chain(Section):
    """The steps every utterance passes, in this order.

    Attributes:
        highpass_hz: lower band limit.
        lowpass_hz: upper band limit.
        filter_order: of the two Butterworth filters, applied forward and backward.
        trim_db: frames this far below the loud frames (95th percentile) are trimmed at both ends.
        margin_ms: smallest and largest silence left at an end, drawn for each.
        level_dbfs: lowest and highest RMS, drawn.
        max_crest_db: lowest and highest distance of the limiter above the RMS, drawn; speech has
            peaks 12 to 15 dB above it, and where they are told the classes apart.
        random_polarity: whether half of the utterances are turned upside down; voices are not
            symmetric, and the codec turns that into an offset.
        dither_dbfs: lowest and highest level of the white Gaussian noise that is added, drawn.
        g722: whether the utterance is coded and decoded by G.722.
    """

    highpass_hz: Above0
    lowpass_hz: Annotated[float, Field(gt=0, lt=SAMPLE_RATE / 2)]
    filter_order: Positive
    trim_db: Above0
    margin_ms: Range
    level_dbfs: Range
    max_crest_db: Range
    random_polarity: bool
    dither_dbfs: Range
    g722: bool


def draw(rng: np.random.Generator, limits: list[float]) -> float:
    """Draw uniformly between two limits."""
    low, high = limits
    return float(rng.uniform(low, high))


def decode_g722(data: bytes) -> Pcm:
    """Decode raw 64 kbit/s G.722 to (n,) 16-bit samples at 16 kHz.

    Raises:
        MixframeError: not decodable.
    """
    import av

    try:
        with av.open(io.BytesIO(data), mode="r", format="g722") as container:
            parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        raise MixframeError(f"not decodable: {error}") from error
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)


def encode_g722(pcm: Pcm) -> bytes:
    """Encode (n,) 16-bit samples at 16 kHz as raw 64 kbit/s G.722; n must be even."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="g722") as container:
        stream = container.add_stream("g722", rate=SAMPLE_RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        # None asks for what the encoder still holds.
        for part in (frame, None):
            container.mux(stream.encode(part))
    return buffer.getvalue()


def through_g722(pcm: Pcm) -> Pcm:
    """Code and decode (n,) 16-bit samples by G.722; the codec's delay is taken back.

    Returns:
        (n,) samples aligned with the input.
    """
    # The codec works on pairs of samples, and the last ones come out late by its delay.
    padded = np.pad(pcm, (0, CODEC_DELAY + pcm.size % 2))
    return decode_g722(encode_g722(padded))[CODEC_DELAY : CODEC_DELAY + pcm.size]


def levels_db(wave: npt.NDArray[np.floating]) -> Wave:
    """Return the level of each whole 10 ms of (n,) samples, in dB of full scale; -120 at least."""
    frames = wave[: wave.size // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-12))


def cut(wave: Wave, params: Pieces) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Cut (n,) speech into pieces at its pauses.

    What is too long is cut in the middle of its longest pause, and so on with both parts.

    Returns:
        half-open sample intervals in order, and how many parts were dropped for which reason.
    """
    level = levels_db(wave)
    if level.size == 0:
        return [], Counter({"too short": 1})
    loud = np.percentile(level, 95)
    speech = level > loud - params.silence_db
    pause = np.flatnonzero(
        np.diff((level <= loud - params.pause_db).astype(np.int8), prepend=0, append=0)
    ).reshape(-1, 2)
    pause = pause[pause[:, 1] - pause[:, 0] >= params.min_pause_ms / 10]
    shortest, longest = params.min_seconds * 100, params.max_seconds * 100
    context = round(params.context_ms / 10)
    pieces: list[tuple[int, int]] = []
    lost: Counter[str] = Counter()
    waiting = [(0, level.size)]
    while waiting:
        start, end = waiting.pop()
        active = np.flatnonzero(speech[start:end])
        if active.size == 0 or active[-1] + 1 - active[0] < shortest:
            lost["too short"] += 1
            continue
        first, last = start + int(active[0]), start + int(active[-1]) + 1
        if last - first <= longest:
            pieces.append((max(start, first - context) * FRAME, min(end, last + context) * FRAME))
            continue
        inside = pause[(pause[:, 0] >= first + shortest) & (pause[:, 1] <= last - shortest)]
        if len(inside) == 0:
            lost["too long, without a pause"] += 1
            continue
        middle = int(inside[np.argmax(inside[:, 1] - inside[:, 0])].sum()) // 2
        waiting += [(middle, end), (start, middle)]
    return pieces, lost


def draw_regions(wave: Wave, params: Partial, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw disjoint half-open sample intervals of speech in (n,) samples, in order.

    They make up a share of `wave` drawn from `params.ratio`, rounded to whole steps and at least
    one shortest region, and lie at least a step apart.

    Raises:
        MixframeError: `wave` is too short for a region.
    """
    step = params.align_samples
    steps = wave.size // step
    if steps < params.min_region_steps:
        raise MixframeError(
            f"{wave.size} samples, too short for a region of {params.min_region_steps * step}"
        )
    total = max(params.min_region_steps, round(draw(rng, params.ratio) * steps))
    count = int(rng.integers(1, params.max_regions + 1))
    count = max(1, min(count, total // params.min_region_steps, steps - total))
    power = np.mean(np.square(wave[: steps * step].reshape(steps, step)), axis=1)
    wanted = np.mean(np.square(wave)) * 10 ** (-params.min_level_db / 10)
    best: list[tuple[int, int]] = []
    loudest = -1.0
    for _ in range(REGION_DRAWS):
        spare = total - count * params.min_region_steps
        lengths = params.min_region_steps + _split(spare, count, rng)
        gaps = _split(steps - total - (count - 1), count + 1, rng)
        starts = np.cumsum(gaps[:-1] + 1) - 1 + np.cumsum(lengths) - lengths
        placed = [(int(s), int(s + n)) for s, n in zip(starts, lengths, strict=True)]
        quietest = min(float(power[start:end].mean()) for start, end in placed)
        if quietest > loudest:
            best, loudest = placed, quietest
        if quietest >= wanted:
            break
    return [(start * step, end * step) for start, end in best]


def _split(total: int, parts: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Split `total` into (parts,) whole numbers of at least 0 by random cuts."""
    cuts = np.sort(rng.integers(0, total + 1, parts - 1))
    return np.diff(cuts, prepend=0, append=total)


def band_limit(wave: Wave, chain: Chain) -> Wave:
    """Filter (n,) samples to the band of the chain, without delay.

    The gain is the squared magnitude of two Butterworth filters, as if each ran forward and
    backward, and is applied to the spectrum.
    """
    # The filters ring for some 30 ms; mirrored ends keep that from one end off the other.
    pad = SAMPLE_RATE // 10
    size = 1 << (wave.size + 2 * pad - 1).bit_length()
    spectrum = np.fft.rfft(np.pad(wave, pad, mode="symmetric"), size)
    spectrum *= _gain(size, chain.filter_order, chain.highpass_hz, chain.lowpass_hz)
    return np.fft.irfft(spectrum, size)[pad : pad + wave.size]


@lru_cache
def _gain(size: int, order: int, low_hz: float, high_hz: float) -> Wave:
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    # Written so that 0 Hz does not divide by 0.
    above = hertz ** (2 * order) / (hertz ** (2 * order) + low_hz ** (2 * order))
    return np.asarray(above / (1 + (hertz / high_hz) ** (2 * order)))


def trim(wave: Wave, chain: Chain, rng: np.random.Generator) -> tuple[int, int]:
    """Return the half-open sample interval that is left of (n,) samples.

    It reaches from the first to the last frame that is no silence, and a drawn margin beyond them
    as far as there are samples.
    """
    before, after = (draw(rng, chain.margin_ms) * SAMPLE_RATE / 1000 for _ in range(2))
    level = levels_db(wave)
    if level.size == 0:
        return 0, wave.size
    active = np.flatnonzero(level > np.percentile(level, 95) - chain.trim_db)
    first = int(active[0]) * FRAME - round(before)
    last = int(active[-1] + 1) * FRAME + round(after)
    return max(0, first), min(wave.size, last)


def finish(wave: Wave, chain: Chain, rng: np.random.Generator) -> Pcm:
    """Level, limit, dither, round and code (n,) samples.

    Returns:
        (n,) 16-bit samples aligned with the input.
    """
    level_db, crest_db, dither_db = (
        draw(rng, limits) for limits in (chain.level_dbfs, chain.max_crest_db, chain.dither_dbfs)
    )
    sign = rng.choice([-1.0, 1.0]) if chain.random_polarity else 1.0
    rms = np.sqrt(np.mean(np.square(wave)))
    loud = wave * (sign * 10 ** (level_db / 20) / rms)
    peak = 10 ** ((level_db + crest_db) / 20)
    noisy = np.clip(loud, -peak, peak) + rng.normal(0.0, 10 ** (dither_db / 20), wave.size)
    pcm = np.clip(np.rint(noisy * 32768.0), -32768, 32767).astype(np.int16)
    return through_g722(pcm) if chain.g722 else pcm
