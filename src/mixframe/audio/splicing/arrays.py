"""One mix-frame splice of waveforms in memory, for training loops of one's own."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import TypeAdapter, ValidationError

from mixframe.audio.frames import FrameGrid, Labels
from mixframe.audio.io import Waveform
from mixframe.audio.splicing.patterns import AnyPattern
from mixframe.audio.splicing.rendering import render
from mixframe.base.errors import MixframeError

WAV2VEC2 = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
"""The front end of wav2vec 2.0, HuBERT, WavLM and XLS-R: 20 ms between frames at 16 kHz."""

_PATTERN: TypeAdapter[Any] = TypeAdapter(AnyPattern)


def splice(
    base: ArrayLike,
    injector: ArrayLike,
    *,
    regions: Sequence[tuple[int, int]] | None = None,
    pattern: Mapping[str, Any] | None = None,
    seed: int = 0,
    crossfade: int = 80,
    max_gain_db: float = 20.0,
    grid: FrameGrid = WAV2VEC2,
) -> tuple[Waveform, Labels]:
    """Replace regions of one waveform by parts of another, as stage splice plans them.

    Args:
        base, injector: (n,) and (m,) floating samples of the same rate.
        regions: half-open intervals in samples of the base, disjoint and in order.
        pattern: in the place of regions, how to draw them: a section `pattern` of a preset, such
            as {"name": "regions", "max_regions": 2, "min_frames": 5, "max_frames": 30,
            "max_ratio": 0.5}. They begin and end at hops of the grid.
        seed: of the regions and of where in the injector each part begins.
        crossfade: samples over which both blend, inside each region's ends; 0 cuts.
        max_gain_db: each part is scaled to the RMS of what it replaces, by at most this; 0 leaves
            it.
        grid: samples to frames of the encoder.

    Returns:
        (n,) float32 samples and (T,) int8 labels of the frames, 1 = injected. Where the pattern
        draws no region the base is unchanged.

    Raises:
        MixframeError: not exactly one of regions and pattern is given, the samples are not such,
            the pattern or a region is not valid, or the injector is shorter than a region.
    """
    if (regions is None) == (pattern is None):
        raise MixframeError("splice: give either regions or pattern")
    wave, other = _samples(base, "base"), _samples(injector, "injector")
    rng = random.Random(seed)
    if regions is None:
        regions = [(a * grid.hop, b * grid.hop) for a, b in _drawn(pattern, rng, grid, wave.size)]
    end = 0
    for start, stop in regions:
        if not end <= start < stop <= wave.size:
            raise MixframeError(
                f"splice: region [{start}, {stop}) of {wave.size} samples: expected disjoint ones "
                "in order"
            )
        if stop - start > other.size:
            raise MixframeError(
                f"splice: the injector has {other.size} samples, region [{start}, {stop}) needs "
                f"{stop - start}"
            )
        end = stop
    parts = []
    for start, stop in regions:
        first = rng.randint(0, other.size - (stop - start))
        parts.append(other[first : first + stop - start])
    spliced = render(wave, parts, regions, crossfade, max_gain_db)
    return spliced, grid.labels(regions, wave.size)


def _samples(values: ArrayLike, name: str) -> Waveform:
    wave = np.asarray(values)
    if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
        raise MixframeError(
            f"splice: {name} of type {wave.dtype} and shape {wave.shape}: expected (n,) floating "
            "samples"
        )
    return wave.astype(np.float32)


def _drawn(
    pattern: Any, rng: random.Random, grid: FrameGrid, n_samples: int
) -> list[tuple[int, int]]:
    """Draw regions in frames."""
    try:
        section = _PATTERN.validate_python(pattern)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise MixframeError(f"splice: pattern {key}: {first['msg']}") from error
    return list(section.draw(rng, grid.n_frames(n_samples)))
