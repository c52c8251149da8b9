"""Mix-frame splices as audio and frame labels, read from the parts that a plan names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixframe.audio.frames import FrameGrid, Labels
from mixframe.audio.io import AudioRef, Reader, Waveform
from mixframe.audio.manifest import pairs, refs
from mixframe.base.errors import MixframeError


@dataclass(frozen=True)
class Recipe:
    """One plan row with everything rendering needs.

    Attributes:
        injector: None leaves the base as it is; regions then say where it was spliced before.
        regions: half-open intervals in samples of the used part of the base.
        sources: first injector sample of each region.
        gain_db: level matching changes the injected part by at most this many dB; 0 = off.
    """

    base: AudioRef
    base_start: int
    n_samples: int
    label: str
    injector: AudioRef | None
    regions: tuple[tuple[int, int], ...]
    sources: tuple[int, ...]
    crossfade: int
    gain_db: float


def recipes(planned: pd.DataFrame, where: dict[str, AudioRef]) -> list[Recipe]:
    """Join a plan with the places of its utterances.

    Args:
        where: utterance id to audio.

    Raises:
        MixframeError: the plan names an utterance that is not there.
    """
    unknown = (set(planned["base"]) | set(planned["injector"])) - {""} - set(where)
    if unknown:
        raise MixframeError(
            f"the splice plan names {len(unknown)} utterances that the manifest lacks, "
            f"{min(unknown)} for one; run the stage 'splice' again"
        )
    return [
        Recipe(
            where[row.base],
            int(row.base_start),
            int(row.n_samples),
            str(row.label),
            where[row.injector] if row.injector else None,
            tuple((int(s), int(e)) for s, e in zip(row.starts, row.ends, strict=True)),
            tuple(int(s) for s in row.sources),
            int(row.crossfade),
            float(row.gain_db),
        )
        for row in planned.itertuples()
    ]


def as_recorded(table: pd.DataFrame) -> list[Recipe]:
    """Return manifest rows, whole and unchanged, with the regions the manifest knows of."""
    regions = [tuple(pairs(flat)) for flat in table["regions"]]
    rows = zip(refs(table), table["samples"], table["label"], regions, strict=True)
    return [Recipe(ref, 0, int(n), str(label), None, r, (), 0, 0.0) for ref, n, label, r in rows]


def load(recipe: Recipe, grid: FrameGrid, read: Reader) -> tuple[Waveform, Labels]:
    """Read and render one plan row.

    Args:
        read: reads (ref, first sample, number of samples), as `mixframe.audio.io.read` does.

    Returns:
        (n_samples,) float32 waveform and (T,) int8 frame labels.
    """
    base = read(recipe.base, recipe.base_start, recipe.n_samples)
    if recipe.injector is None:
        return base, grid.labels(recipe.regions, base.size)
    injected = [
        read(recipe.injector, source, end - start)
        for (start, end), source in zip(recipe.regions, recipe.sources, strict=True)
    ]
    wave = render(base, injected, recipe.regions, recipe.crossfade, recipe.gain_db)
    return wave, grid.labels(recipe.regions, base.size)


def render(
    base: Waveform,
    injected: Sequence[Waveform],
    regions: Sequence[tuple[int, int]],
    crossfade: int,
    gain_db: float,
) -> Waveform:
    """Replace regions of a waveform by injected parts.

    The blend is linear and lies inside the region, so samples outside every region are the base's,
    bit for bit.

    Args:
        base: (n,) samples.
        injected: a part as long as its region, for each region.
        regions: disjoint half-open sample intervals.
        crossfade: samples of blending at each end of a region, at most half of the region.
        gain_db: scale each part to the RMS of what it replaces, by at most this; 0 = leave it.

    Returns:
        (n,) float32.
    """
    out = base.copy()
    for (start, end), part in zip(regions, injected, strict=True):
        length = end - start
        mixed = part * _gain(base[start:end], part, gain_db)
        fade = min(crossfade, length // 2)
        if fade:
            weight = np.ones(length, dtype=np.float32)
            ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
            weight[:fade], weight[length - fade :] = ramp, ramp[::-1]
            mixed = weight * mixed + (1 - weight) * base[start:end]
        out[start:end] = mixed
    return out


def _gain(replaced: Waveform, part: Waveform, limit_db: float) -> np.float32:
    """Return the factor that gives `part` the RMS of `replaced`; 1 if either is silent."""
    power, target = np.mean(np.square(part)), np.mean(np.square(replaced))
    if limit_db == 0 or power == 0 or target == 0:
        return np.float32(1)
    limit = 10 ** (limit_db / 20)
    return np.float32(np.clip(np.sqrt(target / power), 1 / limit, limit))
