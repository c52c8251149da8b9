"""Whether this machine computes what others do: small computations of every kind, hashed.

Results are the same bytes on two machines if each library rounds alike on both. Here each library
that makes a number does a little of what the pipeline asks of it; the hashes it should give stand
in hashes.yaml, with the parameters of the attacks.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mixframe.audio.io import SAMPLE_RATE, encode_flac, resample
from mixframe.base import isa
from mixframe.base.errors import MixframeError
from mixframe.base.schema import validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.corpora.demo import signal
from mixframe.corpora.demo.attacks import ATTACKS, analysis, needs_target, synthesise
from mixframe.corpora.demo.attacks.context import Context, Wave
from mixframe.corpora.demo.attacks.packages import NotInstalled

EXPECTED = Path(__file__).with_name("hashes.yaml")


ABSENT = "not installed"


class Result(NamedTuple):
    """One computation.

    Attributes:
        name: the library and what it did.
        made: the hash of what it gave here; `ABSENT` where its package is not there.
        expected: the hash it should have given; None where none is known.
    """

    name: str
    made: str
    expected: str | None

    @property
    def agrees(self) -> bool:
        """Whether it is the expected one; what is not installed does not depart."""
        return self.made in (self.expected, ABSENT)


def fingerprint() -> list[Result]:
    """Compute everything, in a few seconds on one core."""
    return _results(computations())


def departing() -> list[str]:
    """Return the computations of `libraries` that give others than the expected hashes here."""
    return [result.name for result in _results(libraries()) if not result.agrees]


def _results(every: dict[str, Callable[[], np.ndarray]]) -> list[Result]:
    expected = read_yaml(EXPECTED)["expected"]
    results = []
    torch.set_num_threads(1)
    for name, compute in every.items():
        try:
            made = sha256(np.ascontiguousarray(compute()).tobytes()).hexdigest()[:16]
        except NotInstalled:
            made = ABSENT
        results.append(Result(name, made, expected.get(name)))
    return results


def renew(results: list[Result], path: Path = EXPECTED) -> None:
    """Write the hashes that were made as the expected ones.

    Raises:
        MixframeError: a package is not there.
    """
    if absent := [result.name for result in results if result.made == ABSENT]:
        raise MixframeError(f"{path}: not written; not installed for: {', '.join(absent)}")
    kept = path.read_text(encoding="utf-8").split("expected:")[0]
    lines = [f"  {result.name}: {result.made}" for result in results]
    path.write_text("\n".join([f"{kept}expected:", *lines, ""]), encoding="utf-8")


def computations() -> dict[str, Callable[[], np.ndarray]]:
    """Return the computations by name, each of them the same on every call."""
    every = libraries()
    for name in ATTACKS:
        every[f"attack {name}"] = lambda name=name: _attack(name)  # type: ignore[misc]
    return every


def libraries() -> dict[str, Callable[[], np.ndarray]]:
    """Return the computations without the attacks of the demo corpus."""
    return {
        "numpy random numbers": lambda: _noise((1000, 40)),
        "numpy functions": lambda: np.exp(np.sin(_noise((1000, 40))) + np.log1p(_noise(40) ** 2)),
        "numpy matrix product (OpenBLAS)": lambda: _noise((200, 300)) @ _noise((300, 100)),
        "numpy pseudo-inverse (OpenBLAS)": lambda: np.linalg.pinv(_noise((300, 40))),
        "scipy Fourier transform": _transformed,
        "scikit-learn k-means": _clusters,
        "torch random numbers": lambda: _weights((64, 48)).numpy(),
        "torch functions": _functions,
        "torch matrix product (MKL)": lambda: (_weights((300, 512)) @ _weights((512, 128))).numpy(),
        "torch convolution (oneDNN)": lambda: nn.functional.conv1d(
            _weights((2, 48, 800)), _weights((48, 48, 8)), stride=4
        ).numpy(),
        "torch attention": _attention,
        "torch training step": _trained,
        "torchaudio resampling": lambda: resample(speech().astype(np.float32), 22_050),
        "FFmpeg G.722": lambda: signal.through_g722(_pcm()),
        "libsndfile FLAC": lambda: np.frombuffer(encode_flac(speech()), dtype=np.uint8),
    }


def speech() -> Wave:
    """Return one second of a vowel with a moving pitch and some breath, at 16 kHz."""
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * (120 * times + 0.6 * np.sin(2 * np.pi * 3 * times))
    formants = ((700.0, 1.0), (1200.0, 0.5), (2600.0, 0.25))
    wave = sum(
        gain / (1 + ((120 * n - hertz) / 150) ** 2) * np.sin(n * phase)
        for n in range(1, 60)
        for hertz, gain in formants
    )
    assert isinstance(wave, np.ndarray)
    return 0.2 * wave / np.abs(wave).max() + 1e-3 * _noise(SAMPLE_RATE)


def _noise(shape: int | tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


def _weights(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _pcm() -> signal.Pcm:
    return np.rint(speech() * 32767).astype(np.int16)


def _transformed() -> np.ndarray:
    import scipy.fft

    return scipy.fft.rfft(_noise((50, 1024)), axis=1)


def _clusters() -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans

    means = MiniBatchKMeans(20, batch_size=512, n_init=1, random_state=1)
    return means.fit(_noise((2000, 30)).astype(np.float32)).cluster_centers_


def _functions() -> np.ndarray:
    values = _weights((300, 128))
    normed = nn.functional.layer_norm(nn.functional.gelu(values), (128,))
    return torch.cat([normed.softmax(-1), nn.functional.silu(values).exp().log1p()]).numpy()


def _attention() -> np.ndarray:
    q, k, v = (_weights((2, 4, 99, 32)) * scale for scale in (1.0, 0.5, 2.0))
    return nn.functional.scaled_dot_product_attention(q, k, v).numpy()


def _trained() -> np.ndarray:
    """Return a weight of a small network after three steps of AdamW."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        widen = nn.Conv1d(32, 64, 8, 4)
        model = nn.Sequential(
            nn.Conv1d(1, 32, 20, 10),
            nn.GELU(),
            widen,
            nn.Flatten(),
            nn.LayerNorm(64 * 38),
            nn.Linear(64 * 38, 2),
        )
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(_weights((8, 1, 1600))), torch.arange(8) % 2).backward()
        optimiser.step()
    return widen.weight.detach().numpy()


def _attack(name: str) -> Wave:
    section = read_yaml(EXPECTED)["attacks"][name]
    params = validate(ATTACKS[name].Params, section, f"{EXPECTED.name}: attacks.{name}")
    target = None
    if needs_target(name):
        target = analysis.voice_statistics("other", [speech()[::-1].copy()], params)
    return synthesise(name, speech(), np.random.default_rng(1), Context("it", target), params)


def verdict(results: list[Result]) -> str:
    """Return one line: whether this machine will give the committed results."""
    other = [r.name for r in results if not r.agrees]
    where = f"instruction set {isa.current()}"
    absent = [r.name for r in results if r.made == ABSENT]
    if absent:
        where = f"{where}; not installed for: {', '.join(absent)}"
    if not other:
        n = len(results) - len(absent)
        return f"{where}: all {n} computations agree; results will be the same bytes"
    return f"{where}: {len(other)} of {len(results)} computations depart: {', '.join(other)}"
