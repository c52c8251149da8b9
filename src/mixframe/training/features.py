"""Cepstra with differences, for the LFCC system and the targets of pre-training.

torchaudio computes them but for the Fourier transform: torch's is Intel MKL's, which chooses its
code by the processor, so scipy's is put in its place (`mixframe.base.isa`).
"""

import numpy as np
import scipy.fft
import torch
import torchaudio
from torch import Tensor, nn

from mixframe.audio.io import Waveform


class PowerSpectrogram(nn.Module):
    """What `torchaudio.transforms.Spectrogram` computes without centring, by scipy's transform."""

    def __init__(self, n_fft: int, hop: int) -> None:
        """`n_fft` and `hop` are window and step in samples."""
        super().__init__()
        self._hop = hop
        self._window = torch.hann_window(n_fft).numpy()

    def forward(self, wave: Tensor) -> Tensor:
        """Map (n,) samples to (n_fft // 2 + 1, frames) power."""
        windows = np.lib.stride_tricks.sliding_window_view(wave.numpy(), len(self._window))
        spectrum = scipy.fft.rfft(windows[:: self._hop] * self._window, axis=1)
        return torch.from_numpy(np.square(np.abs(spectrum)).T)


class Cepstra:
    """LFCCs or MFCCs as `torchaudio.transforms` computes them, with two orders of differences."""

    def __init__(self, transform: nn.Module) -> None:
        """`transform` is an LFCC or an MFCC of torchaudio; its spectrogram is replaced."""
        within = transform.MelSpectrogram if hasattr(transform, "MelSpectrogram") else transform
        name = "spectrogram" if within is not transform else "Spectrogram"
        theirs = getattr(within, name)
        setattr(within, name, PowerSpectrogram(theirs.n_fft, theirs.hop_length))
        self._transform = transform

    def __call__(self, wave: Waveform) -> np.ndarray:
        """Map (n,) samples to (frames, 3 * coefficients) float32."""
        with torch.no_grad():
            static = self._transform(torch.from_numpy(wave))
            first = torchaudio.functional.compute_deltas(static)
            second = torchaudio.functional.compute_deltas(first)
            return torch.cat([static, first, second]).T.numpy()
