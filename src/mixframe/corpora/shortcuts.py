"""Trivial statistics that must not tell spoof from bona fide, and how well each does.

A corpus in which one of them separates the classes measures the corpus and not a countermeasure:
leading silence alone does so in ASVspoof 2019 LA (Muller et al., 2021).
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from mixframe.audio.io import SAMPLE_RATE, Waveform, read
from mixframe.audio.manifest import refs
from mixframe.metrics.detection import eer

FRAME = SAMPLE_RATE // 100
SILENCE_DB = 30.0
"""Frames this far below the loudest one count as silence at the ends of an utterance."""
HIGH_BAND_HZ = 7000.0
FLOOR = 1e-12
MOST = 2000
"""Utterances of a class of a set that are measured; of more, evenly spaced ones."""


def statistics(wave: Waveform) -> dict[str, float]:
    """Return the trivial statistics of (n,) samples at 16 kHz, full scale at 1.

    Returns:
        rms_db, peak_db (dB of full scale), crest_db (peak over RMS), duration_s, dc (mean),
        leading_s, trailing_s (silence at the ends), high_band_db (energy above 7 kHz over all
        energy), zero_crossings (a sample).
    """
    samples = wave.astype(np.float64)
    rms = float(np.sqrt(np.mean(np.square(samples))))
    peak = float(np.abs(samples).max())
    # Zeros up to a power of two: transforms of prime length take several times as long.
    size = 1 << (samples.size - 1).bit_length()
    spectrum = np.square(np.abs(np.fft.rfft(samples, size)))
    high = spectrum[np.fft.rfftfreq(size, 1 / SAMPLE_RATE) >= HIGH_BAND_HZ].sum()
    leading, trailing = _silence(samples)
    return {
        "rms_db": 20 * np.log10(rms + FLOOR),
        "peak_db": 20 * np.log10(peak + FLOOR),
        "crest_db": 20 * np.log10((peak + FLOOR) / (rms + FLOOR)),
        "duration_s": samples.size / SAMPLE_RATE,
        "dc": float(samples.mean()),
        "leading_s": leading,
        "trailing_s": trailing,
        "high_band_db": float(10 * np.log10((high + FLOOR) / (spectrum.sum() + FLOOR))),
        "zero_crossings": float(np.mean(np.diff(np.signbit(samples)))) if samples.size > 1 else 0.0,
    }


def _silence(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the seconds of silence at both ends, in steps of 10 ms."""
    padded = np.pad(samples, (0, -samples.size % FRAME)).reshape(-1, FRAME)
    power = np.mean(np.square(padded), axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-SILENCE_DB / 10))
    return int(loud[0]) * 0.01, (len(power) - 1 - int(loud[-1])) * 0.01


def shortcuts(table: pd.DataFrame) -> pd.DataFrame:
    """Return how well each statistic separates the classes of each set of a manifest.

    Returns:
        set, statistic, eer: the EER of the better of both directions, so 0.5 is no separation at
        all; sorted by set in the order of the manifest.

    Raises:
        MixframeError: an utterance cannot be read, or a set has one class only.
    """
    classes = table.groupby(["set", "label"], sort=False).indices.values()
    table = table.iloc[np.sort(np.concatenate([rows[_spaced(len(rows))] for rows in classes]))]
    values = pd.DataFrame([statistics(read(ref)) for ref in refs(table)], index=table.index)
    rows = []
    for name in table["set"].unique():
        inside = table["set"] == name
        bonafide = values[inside & (table["label"] == "bonafide")]
        spoof = values[inside & (table["label"] == "spoof")]
        for statistic in values:
            up = eer(bonafide[statistic], spoof[statistic])
            down = eer(-bonafide[statistic], -spoof[statistic])
            rows.append((name, statistic, min(up, down)))
    return pd.DataFrame(rows, columns=["set", "statistic", "eer"])


def _spaced(n_rows: int) -> npt.NDArray[np.int64]:
    """Return at most MOST places of `n_rows`, evenly spaced."""
    return np.arange(min(n_rows, MOST)) * n_rows // min(n_rows, MOST)
