"""What is measured of training material and of a recording alike, to hold one against the other."""

import numpy as np
from scipy.signal import welch

from mixframe.audio.io import SAMPLE_RATE, Waveform

WINDOW = 512
"""Samples of a spectrum; bands are 31.25 Hz apart."""

FLOOR_DB = 60.0
"""Bands so far below the loudest one count as empty: wideband speech without a fricative lies
above."""

SILENT = 1e-12


def level_db(wave: Waveform) -> float:
    """Return the RMS of (n,) samples in dB of full scale; -120 for digital silence."""
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    return float(10 * np.log10(max(power, SILENT)))


def bandwidth_hz(wave: Waveform) -> float:
    """Return the highest frequency at which (n,) samples at 16 kHz hold energy.

    It is that of the highest band of the mean spectrum within 60 dB of the loudest one; 0 for
    digital silence. Speech that was sampled at 8 kHz has some 5000, as resampling leaves a little.
    """
    size = min(WINDOW, wave.size)
    return highest_band(*welch(wave.astype(np.float64), SAMPLE_RATE, nperseg=size))


def highest_band(frequencies: np.ndarray, power: np.ndarray) -> float:
    """Return the frequency of the highest band within 60 dB of the loudest one.

    Args:
        frequencies: (bands,) Hz.
        power: (bands,) mean spectrum.
    """
    if power.max() < SILENT**2:
        return 0.0
    heard = np.flatnonzero(power >= power.max() * 10 ** (-FLOOR_DB / 10))
    return float(frequencies[heard[-1]])
