"""RawBoost: noise and filters that act on raw waveforms (Tak et al., ICASSP 2022).

Written from the paper and in agreement with its published code (TakHemlata/RawBoost-antispoofing):
equal draws give equal samples but for rounding, since filters are applied through the Fourier
transform.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field

from mixframe.audio.augmentations.augmentation import Augmentation
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.base.schema import AtLeast0, Positive, Range


class RawBoost(Augmentation):
    """The parameters of RawBoost. Ranges are [low, high].

    Attributes:
        algorithm: 1 convolutive, 2 impulsive, 3 stationary noise; 4 = 1 + 2 + 3, 5 = 1 + 2,
            6 = 1 + 3, 7 = 2 + 3 in series; 8 = 1 and 2 side by side, added. Published systems take
            5 for 2021 LA and 3 for 2021 DF.
        bands, centre_hz, width_hz, taps, gain_db: of the notch filters; taps are whole numbers.
        harmonics: powers of the signal that are filtered and added.
        harmonic_drop_db: by how much the gain of powers above the first is lower.
        impulse_percent: at most this share of the samples, in percent, gets an impulse.
        impulse_gain: largest impulse in units of the sample it is added to.
        snr_db: of the stationary noise.
    """

    kind: Literal["rawboost"]
    algorithm: Annotated[int, Field(ge=1, le=8)]
    bands: Positive
    centre_hz: Range
    width_hz: Range
    taps: Range
    gain_db: Range
    harmonics: Positive
    harmonic_drop_db: Range
    impulse_percent: Annotated[float, Field(ge=0, le=100)]
    impulse_gain: AtLeast0
    snr_db: Range

    def apply(self, wave: Waveform, rng: np.random.Generator) -> Waveform:
        """Map (n,) float32 samples to (n,) float32 with the noises of the algorithm."""
        clean = wave.astype(np.float64)
        if self.algorithm == 8:
            both = convolutive(clean, self, rng) + impulsive(clean, self, rng)
            return _limit(both).astype(np.float32)
        noisy = clean
        for step in SERIES[self.algorithm]:
            noisy = step(noisy, self, rng)
        return noisy.astype(np.float32)


Step = Callable[[np.ndarray, RawBoost, np.random.Generator], np.ndarray]


def notch_filter(params: RawBoost, gain_db: list[float], rng: np.random.Generator) -> np.ndarray:
    """Draw a finite impulse response with `bands` stop bands and a largest gain in `gain_db`."""
    response = np.ones(1)
    for _ in range(params.bands):
        centre, width = _draw(rng, params.centre_hz), _draw(rng, params.width_hz)
        taps = int(_draw(rng, params.taps))
        taps += 1 - taps % 2
        low = max(centre - width / 2, 1e-3)
        high = min(centre + width / 2, SAMPLE_RATE / 2 - 1e-3)
        band = scipy.signal.firwin(taps, [low, high], window="hamming", fs=SAMPLE_RATE)
        response = np.convolve(band, response)
    gain = 10 ** (_draw(rng, gain_db) / 20)
    return gain * response / np.abs(scipy.signal.freqz(response, fs=SAMPLE_RATE)[1]).max()


def convolutive(wave: np.ndarray, params: RawBoost, rng: np.random.Generator) -> np.ndarray:
    """Add filtered powers of the signal: linear and non-linear convolutive noise (algorithm 1)."""
    drops = zip(params.gain_db, params.harmonic_drop_db, strict=True)
    dropped = sorted(gain - drop for gain, drop in drops)
    total = np.zeros_like(wave)
    for power in range(1, params.harmonics + 1):
        gain = params.gain_db if power == 1 else dropped
        response = notch_filter(params, gain, rng)
        total += _filtered(wave**power, response)
    return _limit(total - total.mean())


def impulsive(wave: np.ndarray, params: RawBoost, rng: np.random.Generator) -> np.ndarray:
    """Change some samples in proportion to themselves: signal-dependent noise (algorithm 2)."""
    share = rng.uniform(0, params.impulse_percent) / 100
    hit = rng.permutation(len(wave))[: int(len(wave) * share)]
    factor = rng.uniform(-1, 1, len(hit)) * rng.uniform(-1, 1, len(hit))
    noisy = wave.copy()
    noisy[hit] += params.impulse_gain * wave[hit] * factor
    return _limit(noisy)


def stationary(wave: np.ndarray, params: RawBoost, rng: np.random.Generator) -> np.ndarray:
    """Add coloured noise at a drawn signal-to-noise ratio (algorithm 3)."""
    noise = rng.standard_normal(len(wave))
    noise = _filtered(noise, notch_filter(params, params.gain_db, rng))
    snr = _draw(rng, params.snr_db)
    level = np.linalg.norm(wave) / np.linalg.norm(noise) / 10 ** (snr / 20)
    return wave + level * noise


def _draw(rng: np.random.Generator, limits: list[float]) -> float:
    low, high = limits
    return float(rng.uniform(low, high))


def _filtered(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Apply a symmetric filter of odd length so that (n,) samples stay (n,).

    The published code takes its delay to be one sample more than it is, so what comes out leads
    by one sample; so it does here.
    """
    start = (len(response) + 1) // 2
    return scipy.signal.fftconvolve(np.append(wave, 0.0), response)[start : start + len(wave)]


def _limit(wave: np.ndarray) -> np.ndarray:
    """Scale to a peak of 1 what exceeds it."""
    return wave / max(1.0, float(np.abs(wave).max(initial=0.0)))


SERIES: dict[int, tuple[Step, ...]] = {
    1: (convolutive,),
    2: (impulsive,),
    3: (stationary,),
    4: (convolutive, impulsive, stationary),
    5: (convolutive, impulsive),
    6: (convolutive, stationary),
    7: (impulsive, stationary),
}
"""The steps of each algorithm; 8 adds the results of 1 and 2."""
