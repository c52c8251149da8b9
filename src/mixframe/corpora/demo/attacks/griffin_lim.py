"""Mel spectrogram and Griffin-Lim: the phase is thrown away and guessed anew (`torchaudio`)."""

import numpy as np

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
    set to 0. The first phases are random, drawn from `rng`.
    """
    import torch
    from torchaudio.functional import griffinlim, melscale_fbanks

    n_bins = params.n_fft // 2 + 1
    window = torch.hann_window(params.n_fft)
    samples = torch.from_numpy(fit_length(wave, max(wave.size, params.n_fft))).float()
    spectrum = torch.stft(samples, params.n_fft, params.hop, window=window, return_complex=True)
    filters = melscale_fbanks(n_bins, 0.0, SAMPLE_RATE / 2, params.n_mels, SAMPLE_RATE)
    mel = filters.T @ spectrum.abs()
    magnitude = torch.clamp(torch.linalg.pinv(filters.T) @ mel, min=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        made = griffinlim(
            magnitude,
            window,
            n_fft=params.n_fft,
            hop_length=params.hop,
            win_length=params.n_fft,
            power=1.0,
            n_iter=params.iterations,
            momentum=params.momentum,
            length=samples.numel(),
            rand_init=True,
        )
    return fit_length(made.numpy().astype(np.float64), wave.size)
