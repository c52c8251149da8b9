"""RawBoost: noise and filters that act on raw waveforms (Tak et al., ICASSP 2022).

Written from the paper and in agreement with its published code (TakHemlata/RawBoost-antispoofing)
but for one thing: filters are applied through the Fourier transform, which is the same convolution.
"""

from collections.abc import Callable

import numpy as np
import scipy

from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.audio.params import Augmentation, RawBoost

Step = Callable[[np.ndarray, RawBoost, np.random.Generator], np.ndarray]


def augment(wave: Waveform, params: Augmentation, rng: np.random.Generator) -> Waveform:
    """Return the waveform with what `params` ask for: (n,) float32 to (n,) float32."""
    if params.kind == "none":
        return wave
    wave = wave.astype(np.float64)
    if params.algorithm == 8:
        both = convolutive(wave, params, rng) + impulsive(wave, params, rng)
        return _limit(both).astype(np.float32)
    for step in SERIES[params.algorithm]:
        wave = step(wave, params, rng)
    return wave.astype(np.float32)


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
        total += scipy.signal.fftconvolve(wave**power, response, mode="full")[
            _middle(response, len(wave))
        ]
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
    response = notch_filter(params, params.gain_db, rng)
    noise = scipy.signal.fftconvolve(rng.standard_normal(len(wave)), response)[
        _middle(response, len(wave))
    ]
    snr = _draw(rng, params.snr_db)
    level = np.linalg.norm(wave) / np.linalg.norm(noise) / 10 ** (snr / 20)
    return wave + level * noise


def _draw(rng: np.random.Generator, limits: list[float]) -> float:
    low, high = limits
    return float(rng.uniform(low, high))


def _middle(response: np.ndarray, n_samples: int) -> slice:
    """Return the part of a full convolution that is not delayed by the filter."""
    start = (len(response) - 1) // 2
    return slice(start, start + n_samples)


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
