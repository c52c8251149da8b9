"""What attacks are made of: values, gradients, changes at 16 bits; and an attack on a batch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mixframe.audio.distortions.files import as_written
from mixframe.audio.io import SAMPLE_RATE, Waveform
from mixframe.training.adversarial.attack import Attack, Expectation
from mixframe.training.data import normalise

if TYPE_CHECKING:
    from mixframe.training.adversarial.attack import Listener, Objective

STEP = 1 / 32768
"""Between two samples of 16 bits."""


def attack(
    listener: "Listener",
    waves: Sequence[Waveform],
    labels: Sequence[str],
    section: Attack,
    rngs: Sequence[np.random.Generator],
    device: torch.device | None = None,
) -> list[Waveform]:
    """Change utterances so that a system takes them for the other class.

    An utterance's change depends on it and its generator, and not on what else is in the batch but
    for rounding.

    Args:
        listener: the system.
        waves: (n_i,) float32 at 16 kHz; they are rounded to 16 bits first.
        labels: bonafide or spoof, of each.
        rngs: a generator for each.
        device: where the listener computes; None for the CPU.

    Returns:
        (n_i,) float32 of values that 16 bits have, inside the ball around the rounded waves;
        those that `section.target` leaves out are the rounded waves themselves.
    """
    out = [as_written(wave) for wave in waves]
    rows = [i for i, label in enumerate(labels) if section.targets(label)]
    if rows:
        signs = torch.tensor([1.0 if labels[i] == "spoof" else -1.0 for i in rows], device=device)
        changed = section.search(
            lambda heard: signs * listener(heard),
            [torch.from_numpy(out[i]).to(device or "cpu") for i in rows],
            [rngs[i] for i in rows],
        )
        for row, wave in zip(rows, changed, strict=True):
            out[row] = wave.cpu().numpy()
    return out


def padded(waves: Sequence[Tensor], scale: bool) -> tuple[Tensor, Tensor]:
    """Return waveforms, scaled or not, padded to one length, and (B,) lengths in samples."""
    lengths = torch.tensor([len(wave) for wave in waves])
    scaled = [normalise(wave) if scale else wave for wave in waves]
    return nn.utils.rnn.pad_sequence(scaled, batch_first=True), lengths


def values(objective: "Objective", waves: Sequence[Tensor]) -> Tensor:
    """Return the (B,) values of an objective."""
    with torch.no_grad():
        return objective(waves)


def gradients(
    objective: "Objective",
    waves: Sequence[Tensor],
    expectation: Expectation,
    rngs: Sequence[np.random.Generator],
) -> tuple[Tensor, list[Tensor]]:
    """Return the (B,) values of an objective at waveforms as they are, and its mean gradients.

    Returns:
        values, and the gradient of each waveform over what `expectation` draws, (n_i,).
    """
    leaves = [wave.detach().requires_grad_() for wave in waves]
    if expectation.exact:
        reached = objective(leaves)
        return reached.detach(), list(torch.autograd.grad(reached.sum(), leaves))
    sums = [torch.zeros_like(wave) for wave in waves]
    for _ in range(expectation.draws):
        drawn = [transformed(w, expectation, r) for w, r in zip(leaves, rngs, strict=True)]
        parts = torch.autograd.grad(objective(drawn).sum(), leaves)
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    return values(objective, waves), [total / expectation.draws for total in sums]


def transformed(wave: Tensor, expectation: Expectation, rng: np.random.Generator) -> Tensor:
    """Return (n,) samples as a shift, a gain and noise, all of them drawn, leave them."""
    most = min(round(expectation.shift_ms * SAMPLE_RATE / 1000), len(wave) - 1)
    shift = int(rng.integers(-most, most + 1))
    kept = wave[max(0, -shift) : len(wave) - max(0, shift)]
    out = nn.functional.pad(kept, (max(0, shift), max(0, -shift)))
    out = out * 10 ** (rng.uniform(-expectation.gain_db, expectation.gain_db) / 20)
    if expectation.noise_db:
        level = out.detach().square().mean().sqrt() * 10 ** (-expectation.noise_db / 20)
        out = out + level * out.new_tensor(rng.standard_normal(len(out)))
    return out


def moved(wave: Tensor, change: Tensor) -> Tensor:
    """Return (n,) samples after a change of whole steps of 16 bits, none of them a larger one.

    They stay on their scale; samples beyond it do not go further.
    """
    low, high = wave.clamp(max=-1.0), wave.clamp(min=1.0 - STEP)
    return (wave + (change / STEP).trunc() * STEP).clamp(low, high)
