"""Trained systems as files: what stage finetune leaves and stage score takes up."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, Reader
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_json, sha256_file, write_json
from mixframe.base.imports import importing
from mixframe.base.tensors import load_tensors, save_tensors
from mixframe.experiment.layout import FOUNDATION_FILES, Layout
from mixframe.experiment.params import Preset
from mixframe.models import lfcc
from mixframe.models.params import Lfcc
from mixframe.training.params import Neural

if TYPE_CHECKING:
    from mixframe.models.detector import Detector
    from mixframe.training.loop import Runner

CARD = "card.json"
MIXTURES = "model.safetensors"


def start_encoder(files: Layout, params: Neural) -> Path:
    """Return the folder of the encoder a system starts from."""
    if params.encoder in ("random", "foundation"):
        return files.foundation
    return files.posttrained(params.encoder)


def new_detector(preset: Preset, files: Layout, params: Neural) -> "Detector":
    """Return the untrained detector of a system."""
    # The classical system has no need for transformers, which takes seconds to import.
    with importing():
        from mixframe.models import backbone as backbones
        from mixframe.models.detector import Detector

    seed = files.seed if params.encoder == "random" else None
    folder = start_encoder(files, params)
    return Detector(backbones.load(folder, preset.encoder, seed), params, files.seed)


def trained_detector(
    preset: Preset, files: Layout, system: str, params: Neural, device: torch.device
) -> "Detector":
    """Return the trained detector of a system on a device, ready to score.

    Raises:
        MixframeError: the system is not trained, or its files changed since.
    """
    folder = files.finetuned(system)
    check_card(folder)
    detector = new_detector(preset, files, params)
    detector.restore(folder)
    return detector.to(device).eval()


def save_mixtures(mixtures: dict[str, lfcc.Mixture], path: Path) -> None:
    """Write the mixtures of both classes as safetensors."""
    tensors = {
        f"{label}.{field}": torch.from_numpy(value)
        for label, mixture in mixtures.items()
        for field, value in vars(mixture).items()
    }
    save_tensors(tensors, path)


def load_mixtures(path: Path) -> dict[str, lfcc.Mixture]:
    """Read what `save_mixtures` wrote."""
    tensors = {k: v.numpy() for k, v in load_tensors(path, "finetune").items()}
    fields = ("weights", "means", "variances")
    return {
        label: lfcc.Mixture(*(tensors[f"{label}.{field}"] for field in fields))
        for label in manifest.LABELS
    }


def write_card(folder: Path, encoder: Path | None, figures: dict[str, Any]) -> None:
    """Write card.json: what was trained, and the sha256 of every file that scoring needs.

    Args:
        folder: the files of the system.
        encoder: folder of the encoder underneath; None where there is none.
    """
    own = {p.name: sha256_file(p) for p in sorted(folder.iterdir()) if p.name != CARD}
    under = {} if encoder is None else {n: sha256_file(encoder / n) for n in FOUNDATION_FILES}
    card = {**figures, "files": own, "encoder": {"folder": str(encoder or ""), "files": under}}
    write_json(folder / CARD, card)


def check_card(folder: Path) -> None:
    """Check that the files of a system and of its encoder are those it was trained with.

    Raises:
        MixframeError: a file is missing or has another content.
    """
    card = read_json(need_file(folder / CARD, "finetune"))
    pinned = {folder / n: sha for n, sha in card["files"].items()}
    pinned |= {Path(card["encoder"]["folder"]) / n: s for n, s in card["encoder"]["files"].items()}
    for path, sha in pinned.items():
        found = sha256_file(need_file(path, "finetune"))
        if found != sha:
            raise MixframeError(
                f"{path}: sha256 {found}, but {folder / CARD} was made with {sha}; "
                "run `dvc repro` to bring them together"
            )


def score_system(
    preset: Preset,
    files: Layout,
    system: str,
    params: Neural | Lfcc,
    rows: pd.DataFrame,
    run: "Runner",
    read: Reader,
) -> np.ndarray:
    """Score manifest rows with a trained system.

    Returns:
        (len(rows),) float64 in their order.

    Raises:
        MixframeError: the system is not trained, or its files changed since.
    """
    folder = files.finetuned(system)
    refs, samples = manifest.refs(rows), rows["samples"].tolist()
    what = f"score {system}"
    if isinstance(params, Lfcc):
        longest = int(preset.score.max_seconds * SAMPLE_RATE)
        lengths = [min(n, longest) for n in samples]
        frames = lfcc.features(refs, lengths, params, read, what)
        check_card(folder)
        mixtures = load_mixtures(folder / MIXTURES)
        return lfcc.score(mixtures["bonafide"], mixtures["spoof"], frames)
    with importing():
        from mixframe.training.scoring import score, window

    detector = trained_detector(preset, files, system, params, run.device)
    return score(detector, refs, samples, window(params, preset.score), run, read, what)
