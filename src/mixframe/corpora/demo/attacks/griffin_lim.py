"""Mel spectrogram and Griffin-Lim: the phase is thrown away and guessed anew."""

from functools import cache

import numpy as np
import scipy

from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.schema import Section
from mixframe.corpora.demo.attacks.context import Context, Wave, fit_length


class Params(Section):
    """Size of the spectrogram and effort of the phase search.

    Attributes:
        n_fft: window and FFT length in samples.
        hop: samples between windows.
        n_mels: mel bands from 0 to 8 kHz.
        iterations: steps of Griffin-Lim.
        momentum: of the fast variant (Perraudin et al., 2013), 0 to below 1.
    """

    n_fft: int
    hop: int
    n_mels: int
    iterations: int
    momentum: float


def synthesise(wave: Wave, rng: np.random.Generator, context: Context, params: Params) -> Wave:
    """Return (n,) speech made from the mel spectrogram of (n,) speech, both at 16 kHz.

    The mel bands are turned back into a magnitude spectrogram by least squares, negative values
    set to 0. The first phases are random, drawn from `rng`; what follows is the fast Griffin-Lim
    algorithm as torchaudio has it, which computes with a Fourier transform that is not the same on
    every processor.
    """
    mel, back = _mel_bands(params.n_fft, params.n_mels)
    n_samples = max(wave.size, params.n_fft)
    transform = _Transform(params.n_fft, params.hop, n_samples)
    magnitude = np.abs(transform.forward(fit_length(wave, n_samples)))
    magnitude = np.maximum(magnitude @ mel @ back, 0.0)
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape))
    momentum = params.momentum / (1 + params.momentum)
    previous = np.zeros_like(phase)
    for _ in range(params.iterations):
        rebuilt = transform.forward(transform.inverse(magnitude * phase))
        phase = rebuilt - momentum * previous
        phase /= np.abs(phase) + 1e-16
        previous = rebuilt
    return fit_length(transform.inverse(magnitude * phase), wave.size)


@cache
def _mel_bands(n_fft: int, n_mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (bins, n_mels) weights of the bands, and their (n_mels, bins) pseudo-inverse."""
    from torchaudio.functional import melscale_fbanks

    filters = melscale_fbanks(n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE)
    weights = filters.double().numpy()
    return weights, np.linalg.pinv(weights)


class _Transform:
    """Short-time Fourier transform with a Hann window, centred frames and reflected ends."""

    def __init__(self, n_fft: int, hop: int, n_samples: int) -> None:
        # A fifth of the start of every stage: all of them read the section above.
        from scipy.signal import get_window

        self._hop, self._n_samples, self._margin = hop, n_samples, n_fft // 2
        self._window = get_window("hann", n_fft)
        n_frames = n_samples // hop + 1
        self._weight = self._add(np.tile(np.square(self._window), (n_frames, 1)))

    def forward(self, wave: Wave) -> np.ndarray:
        """Map (n,) samples to (frames, bins)."""
        padded = np.pad(wave, self._margin, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._window.size)
        return scipy.fft.rfft(windows[:: self._hop] * self._window, axis=1)

    def inverse(self, spectrum: np.ndarray) -> Wave:
        """Map (frames, bins) to the (n,) samples whose transform is nearest."""
        frames = scipy.fft.irfft(spectrum, self._window.size, axis=1) * self._window
        wave = self._add(frames) / np.maximum(self._weight, 1e-11)
        return fit_length(wave[self._margin :], self._n_samples)

    def _add(self, frames: np.ndarray) -> Wave:
        """Add (T, n_fft) overlapping frames: (n_fft + (T - 1) hop,)."""
        n_frames, n_fft = frames.shape
        total = np.zeros(n_fft + (n_frames - 1) * self._hop)
        for frame, start in zip(frames, range(0, total.size, self._hop), strict=False):
            total[start : start + n_fft] += frame
        return total
