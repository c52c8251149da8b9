"""LPC vocoder: an all-pole filter driven by pulses where voiced and by noise elsewhere (Praat)."""

import numpy as np

from mixframe.audio.io import SAMPLE_RATE
from mixframe.corpora.demo.attacks.analysis import Analysis, f0_track
from mixframe.corpora.demo.attacks.context import Context, Wave, fit_length
from mixframe.corpora.demo.attacks.packages import need


class Params(Analysis):
    """`Analysis` of the pitch, and the filter.

    Attributes:
        order: number of poles.
        window_ms: analysis window (Praat's effective Gaussian length).
        step_ms: time between filters; they are interpolated in between.
        pre_emphasis_hz: speech is raised by 6 dB an octave above this frequency for the analysis.
        breath: standard deviation of the noise under the pulses, relative to their RMS.
    """

    order: int
    window_ms: float
    step_ms: float
    pre_emphasis_hz: float
    breath: float


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (n,) speech from the LPC filters, gains and pitch of (n,) speech, both at 16 kHz."""
    parselmouth = need("parselmouth")
    call = parselmouth.praat.call
    # There are no filters within half a window (twice its effective length) of the ends.
    pad = round(params.window_ms / 1000 * SAMPLE_RATE)
    padded = np.pad(wave, pad, mode="symmetric")
    source = parselmouth.Sound(excitation(padded, rng, params), sampling_frequency=SAMPLE_RATE)
    speech = parselmouth.Sound(padded, sampling_frequency=SAMPLE_RATE)
    filters = call(
        speech,
        "To LPC (autocorrelation)",
        params.order,
        params.window_ms / 1000,
        params.step_ms / 1000,
        params.pre_emphasis_hz,
    )
    made = call([filters, source], "Filter", True)
    # Praat's filter gives the raised speech of the analysis.
    call(made, "De-emphasize (in-place)", params.pre_emphasis_hz)
    return fit_length(made.values[0][pad:], wave.size)


def excitation(wave: Wave, rng: np.random.Generator, params: Params) -> Wave:
    """Return (n,) excitation of unit power: pulses at the pitch of `wave`, noise where unvoiced."""
    f0, times = f0_track(wave, params)
    seconds = np.arange(wave.size) / SAMPLE_RATE
    # Nearest frame: F0 interpolated across a voicing edge would sweep down to 0 Hz.
    frame = np.clip(np.rint(seconds / (params.frame_ms / 1000)).astype(int), 0, times.size - 1)
    pitch = f0[frame]
    noise = rng.standard_normal(wave.size)
    cycles = np.floor(np.cumsum(pitch) / SAMPLE_RATE)
    pulses = np.flatnonzero((np.diff(cycles, prepend=0.0) > 0) & (pitch > 0))
    made = np.where(pitch > 0, params.breath * noise, noise)
    # A pulse of height sqrt(period) each period has unit power.
    made[pulses] += np.sqrt(SAMPLE_RATE / pitch[pulses])
    return made
