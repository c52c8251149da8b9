"""What several distortions do to samples."""

import math

import numpy as np
import numpy.typing as npt
import scipy

from mixframe.audio.io import SAMPLE_RATE

Samples = npt.NDArray[np.floating]
Wave = npt.NDArray[np.float64]

QUIETEST_DB = -100.0
"""Digital silence counts as so many dB of full scale."""

WSOLA_HOP = SAMPLE_RATE // 64
"""Half of a frame of `lengthen`: 31 ms hold two periods of a low voice."""
WSOLA_SEARCH = SAMPLE_RATE // 100
"""How far to each side the best place for a frame is looked for: 10 ms."""


def fit(wave: Samples, n_samples: int) -> Samples:
    """Return (n_samples,): the first ones, followed by zeros where there are fewer."""
    return np.pad(wave[:n_samples], (0, max(0, n_samples - wave.size)))


def convert(wave: Samples, old_hz: int, new_hz: int) -> Wave:
    """Return (n,) samples at another rate: (ceil(n * new_hz / old_hz),), without delay.

    The filter is a windowed sinc of linear phase (`scipy.signal.resample_poly`).
    """
    divisor = math.gcd(old_hz, new_hz)
    wide = wave.astype(np.float64)
    if old_hz == new_hz:
        return wide
    return np.asarray(scipy.signal.resample_poly(wide, new_hz // divisor, old_hz // divisor))


def power(wave: Samples) -> float:
    """Return the mean square of (n,) samples."""
    return float(np.mean(np.square(wave, dtype=np.float64)))


def at_power(wave: Samples, wanted: float) -> Wave:
    """Scale (n,) samples to a mean square; silence stays silent."""
    had = power(wave)
    return wave.astype(np.float64) * (math.sqrt(wanted / had) if had else 1.0)


def with_noise(wave: Samples, noise: Samples, snr_db: float) -> Wave:
    """Add (n,) noise at a signal-to-noise ratio of powers over all n samples.

    Silence has no such ratio and stays as it is.
    """
    return wave + at_power(noise, power(wave) * 10 ** (-snr_db / 10))


def reverberate(wave: Samples, response: Samples) -> Wave:
    """Convolve (n,) samples with an impulse response; (n,), at the power they had.

    The strongest tap is taken for the direct sound, and its delay is taken back.
    """
    direct = response[int(np.argmax(np.abs(response))) :].astype(np.float64)
    wet = scipy.signal.oaconvolve(wave.astype(np.float64), direct)[: wave.size]
    return at_power(wet, power(wave))


def levels_db(wave: Samples, step: int) -> Wave:
    """Return the level of each `step` of (n,) samples in dB of full scale: (ceil(n / step),)."""
    padded = fit(wave, math.ceil(wave.size / step) * step).astype(np.float64)
    square = np.mean(np.square(padded.reshape(-1, step)), axis=1)
    return np.asarray(10 * np.log10(np.maximum(square, 10 ** (QUIETEST_DB / 10))))


def smooth(values: Wave, start: float, rise_ms: float, fall_ms: float, step_ms: float) -> Wave:
    """Smooth (n,) values, one each `step_ms`, by one pole: from `start`, up and down at own speeds.

    The branching detector of Giannoulis, Massberg and Reiss, "Digital dynamic range compressor
    design", J. Audio Eng. Soc. 60 (2012), equation 17.
    """
    up, down = (math.exp(-step_ms / ms) if ms else 0.0 for ms in (rise_ms, fall_ms))
    out = []
    last = start
    for value in values.tolist():
        kept = up if value > last else down
        last = kept * last + (1 - kept) * value
        out.append(last)
    return np.array(out)


def with_gain(wave: Samples, gain_db: Wave, step: int) -> Wave:
    """Multiply (n,) samples by gains at the middle of each `step` of them, straight in between."""
    middles = step * np.arange(gain_db.size) + (step - 1) / 2
    return np.asarray(wave * 10 ** (np.interp(np.arange(wave.size), middles, gain_db) / 20))


def lengthen(wave: Samples, factor: float) -> Wave:
    """Make (n,) samples `factor` times as long at their pitch: (m,), m = n * factor, rounded.

    m is 1 at least. WSOLA: frames are laid out at a new distance, each taken from where it goes on
    best from the one before (Verhelst and Roelands, "An overlap-add technique based on waveform
    similarity (WSOLA) for high quality time-scale modification of speech", ICASSP 1993).
    """
    n_out = max(1, round(wave.size * factor))
    n_frames = math.ceil(n_out / WSOLA_HOP) + 1
    frame = 2 * WSOLA_HOP
    padded = np.pad(
        wave.astype(np.float64),
        (WSOLA_HOP + WSOLA_SEARCH, math.ceil(WSOLA_HOP / factor) + 2 * (frame + WSOLA_SEARCH)),
    )
    squares = np.concatenate([[0.0], np.cumsum(np.square(padded))])
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(frame) / WSOLA_HOP)
    out = np.zeros((n_frames + 1) * WSOLA_HOP)
    start = WSOLA_SEARCH
    for number in range(n_frames):
        if number:
            first = round(number * WSOLA_HOP / factor)
            around = padded[first : first + 2 * WSOLA_SEARCH + frame]
            follows = padded[start + WSOLA_HOP : start + WSOLA_HOP + frame]
            ends = np.arange(first + frame, first + frame + 2 * WSOLA_SEARCH + 1)
            energy = np.maximum(squares[ends] - squares[ends - frame], 1e-9)
            likeness = np.correlate(around, follows, "valid") / np.sqrt(energy)
            start = first + int(np.argmax(likeness))
        at = number * WSOLA_HOP
        out[at : at + frame] += window * padded[start : start + frame]
    return out[WSOLA_HOP : WSOLA_HOP + n_out]
