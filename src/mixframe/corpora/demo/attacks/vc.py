"""Voice conversion by WORLD: pitch and mean envelope are moved to those of a target voice."""

import numpy as np

from mixframe.base.errors import MixframeError
from mixframe.corpora.demo.attacks.analysis import Conversion, Features, analyse, render
from mixframe.corpora.demo.attacks.context import Context, Wave


class Params(Conversion):
    """`Conversion`, and how the envelope is moved.

    Attributes:
        envelope_terms: cepstral terms that the difference of the mean log envelopes keeps; few
            make it smooth.
    """

    envelope_terms: int


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (n,) speech converted toward the context's target voice, both at 16 kHz.

    log F0 gets the target's mean and standard deviation (the linear transform that is the usual
    baseline of voice conversion), each frame's log envelope the smoothed difference of the mean
    log envelopes over voiced frames.

    Raises:
        MixframeError: the target's statistics have another envelope size than these parameters
            give.
    """
    target = context.target
    assert target is not None, "`attacks.synthesise` checks it"
    f0, envelope, aperiodicity = analyse(wave, params)
    if target.log_envelope.shape != envelope.shape[1:]:
        raise MixframeError(
            f"target voice {target.voice}: a mean envelope of {target.log_envelope.size} bins, "
            f"expected {envelope.shape[1]}: its statistics come from another analysis"
        )
    voiced = f0 > 0
    if not voiced.any():
        return render(Features(f0, envelope, aperiodicity), params, wave.size)
    pitch = np.log(f0[voiced])
    spread = pitch.std()
    scale = target.log_f0_std / spread if spread > 0 else 1.0
    moved = np.zeros_like(f0)
    moved[voiced] = np.clip(
        np.exp(target.log_f0_mean + (pitch - pitch.mean()) * scale),
        params.f0_floor_hz,
        params.f0_ceil_hz,
    )
    difference = target.log_envelope - np.log(envelope[voiced]).mean(axis=0)
    cepstrum = np.fft.irfft(difference)
    cepstrum[params.envelope_terms : cepstrum.size - params.envelope_terms + 1] = 0.0
    shaped = envelope * np.exp(np.fft.rfft(cepstrum).real)
    return render(Features(moved, shaped, aperiodicity), params, wave.size)
