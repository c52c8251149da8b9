"""Shared pieces of the tests: small audio, a small manifest, a small encoder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mixframe.audio import manifest
from mixframe.audio.io import encode_flac, tar_writer
from mixframe.experiment.params import robust_cells
from mixframe.models import backbone as backbones
from mixframe.models.params import Architecture, Encoder
from tests import chromium

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long files first, but those that copy one run of the pipeline last.

    The first of them makes that run, in minutes that another worker would wait.
    """
    copying = [item.path for item in items if "repro" in getattr(item, "fixturenames", ())]
    making = max(copying, key=copying.count, default=None)
    items.sort(
        key=lambda item: (
            item.path != making,
            item.path in copying,
            item.get_closest_marker("slow") is None,
        )
    )


def choice_of(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return params.yaml for a preset that trains its own systems on its own corpus."""
    own = dict.fromkeys(("preset", "base", "trained"), name)
    return {**own, "grid": values["grid"], "robust": robust_cells(values)}


def tone(n_samples: int, seed: int, loud: float = 0.1) -> np.ndarray:
    """A few random harmonics in noise: (n_samples,) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / 16_000
    wave = sum(
        np.sin(2 * np.pi * rng.uniform(80, 4000) * time + rng.uniform(0, 6)) for _ in range(5)
    )
    return (loud * wave / 5 + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Return a function that makes a corpus of tones and its manifest."""

    def make(counts: dict[str, int], seconds: tuple[float, float] = (0.5, 1.2)) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        rows = []
        with tar_writer(tmp_path / "audio.tar") as audio:
            for name, count in counts.items():
                for i in range(2 * count):
                    label = "bonafide" if i % 2 else "spoof"
                    n_samples = int(rng.uniform(*seconds) * 16_000)
                    wave = tone(n_samples, seed=len(rows), loud=0.05 if i % 2 else 0.2)
                    utterance = f"{name}_{i:03d}"
                    ref = audio.add(f"{utterance}.flac", encode_flac(wave))
                    rows.append(
                        {
                            "utterance": utterance,
                            "set": name,
                            "label": label,
                            "speaker": f"speaker{i // 2 % 3}",
                            "attack": "-" if label == "bonafide" else f"A0{i % 3}",
                            "codec": "-",
                            "subset": "-",
                            "prompt": f"prompt{i // 2}",
                            "path": ref.path,
                            "offset": ref.offset,
                            "n_bytes": ref.n_bytes,
                            "samples": n_samples,
                            "regions": [],
                        }
                    )
        return manifest.check(pd.DataFrame(rows), "test")

    return make


ARCHITECTURE = Architecture(
    hidden=16,
    layers=2,
    heads=2,
    feed_forward=32,
    conv_dim=8,
    conv_kernels=[10, 3, 3, 3, 3, 2, 2],
    conv_strides=[5, 2, 2, 2, 2, 2, 2],
    position_kernel=8,
    position_groups=2,
)


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    """A folder with a tiny random encoder, as stage pretrain writes it."""
    from transformers import AutoModel

    torch.manual_seed(0)
    folder = tmp_path / "encoder"
    preprocessor = backbones.preprocessor_config(normalise=True, rate=16_000)
    model = AutoModel.from_config(backbones.new_config(ARCHITECTURE))
    backbones.save(backbones.wrap(model, preprocessor), folder, preprocessor)
    return folder


@pytest.fixture
def encoder(encoder_folder: Path) -> backbones.Backbone:
    """That encoder, loaded."""
    return backbones.load(encoder_folder, Encoder(dropout=0.0))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    """Headless Chromium, where the machine has it."""
    program = chromium.find()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with chromium.Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
