"""WORLD with a coded envelope and coded aperiodicity, as parametric synthesis transmits them."""

import numpy as np

from mixframe.audio.io import SAMPLE_RATE
from mixframe.corpora.demo.attacks.analysis import Analysis, Features, analyse, pyworld, render
from mixframe.corpora.demo.attacks.context import Context, Wave


class Params(Analysis):
    """`Analysis`, and how much of the envelope is kept.

    Attributes:
        envelope_dims: mel-cepstral dimensions the power envelope is coded into.
    """

    envelope_dims: int


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (n,) speech made from the coded WORLD features of (n,) speech, both at 16 kHz.

    The aperiodicity is coded into bands of 3 kHz, WORLD's own coding.
    """
    world = pyworld()
    features = analyse(wave, params)
    fft_size = 2 * (features.envelope.shape[1] - 1)
    envelope = world.code_spectral_envelope(features.envelope, SAMPLE_RATE, params.envelope_dims)
    aperiodicity = world.code_aperiodicity(features.aperiodicity, SAMPLE_RATE)
    decoded = Features(
        features.f0,
        world.decode_spectral_envelope(envelope, SAMPLE_RATE, fft_size),
        world.decode_aperiodicity(aperiodicity, SAMPLE_RATE, fft_size),
    )
    return render(decoded, params, wave.size)
