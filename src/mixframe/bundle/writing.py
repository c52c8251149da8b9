"""A bundle made of results: what the stages left of one system, in one folder."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mixframe import __version__
from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object, sha256_file, write_json
from mixframe.base.progress import log
from mixframe.base.tensors import load_tensors
from mixframe.bundle import measures
from mixframe.bundle.card import write_card
from mixframe.bundle.contents import (
    CLASSIFIER,
    CONTENTS,
    ENCODER,
    FORMAT,
    Calibration,
    Contents,
    Evaluated,
    Frames,
    MadeBy,
    Spread,
    TrainedOn,
)
from mixframe.bundle.folders import new_folder
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import Preset, lookup
from mixframe.experiment.scored import read_trainings
from mixframe.metrics import calibration, decisions, detection, scorefiles
from mixframe.metrics.frames import frame_threshold, read_frames
from mixframe.metrics.tables import span
from mixframe.models import backbone as backbones
from mixframe.models.detector import ADAPTER, ADAPTER_CONFIG, HEAD
from mixframe.models.params import ENCODER_FILES, Full, Hub, Lora
from mixframe.stages.card import read_card
from mixframe.stages.context import Context, open_context
from mixframe.stages.systems import check_card, work
from mixframe.training.systems.frames import Frames as FramesSystem
from mixframe.training.systems.lfcc import MIXTURES
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import System

MEASURED = 500
"""Training utterances whose level and bandwidth are measured, evenly spaced ones of more."""


@dataclass(frozen=True)
class _Source:
    """A trained system among the results.

    Attributes:
        context: of its preset, with its seed.
        encoder: folder of the encoder it starts from; None where it has none.
        isa: instruction set of the training.
        frames: whether post-training left a frame classifier of exactly the encoder that it has.
        frame_scores: file with the scores of frames of held-out splices, and the stage that makes
            it: of the head of a system of kind frames, or of that classifier; None without either.
    """

    context: Context
    name: str
    system: System
    encoder: Path | None
    isa: str
    frames: bool
    frame_scores: tuple[Path, str] | None

    @property
    def preset(self) -> Preset:
        """Of the context."""
        return self.context.preset

    @property
    def files(self) -> Layout:
        """Of the context."""
        return self.context.files


def write_bundle(
    system: str, preset_name: str | None, seed: int | None, folder: Path, license_name: str
) -> Contents:
    """Write one system of a preset as a bundle.

    Args:
        preset_name: None for the one of params.yaml.
        seed: of the training; None for the first of the grid.
        folder: must not exist; it appears whole or not at all.
        license_name: of the weights, as the hub names it; for README.md.

    Raises:
        MixframeError: the folder is there already, the preset has no such system or seed, it is not
            trained and evaluated, or its files are not those that its card pins.
    """
    with new_folder(folder) as temporary:
        source = _source(system, preset_name, seed)
        log(f"export {system}: from {source.files.finetuned(system)}")
        _copy_weights(source, temporary)
        files = {
            path.relative_to(temporary).as_posix(): sha256_file(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        contents = _contents(source, files)
        write_json(temporary / CONTENTS, contents.model_dump())
        others = {
            name: _evaluated(source, name)
            for name in source.context.grid.system
            if name != system and source.files.details(name).is_file()
        }
        write_card(temporary, contents, license_name, others)
    return contents


def _source(name: str, preset_name: str | None, seed: int | None) -> _Source:
    context = open_context(preset_name, {}, {"system": name}, seed)
    preset = context.preset
    system = lookup(preset.finetune, name, "finetune")
    start = system.starts_from
    # A fully trained encoder is no longer the one that the classifier was trained on.
    own = isinstance(system, Neural) and isinstance(system.adapter, Full)
    frames = start in preset.posttrain and preset.posttrain[start].objective == "frames" and not own
    frame_scores = None
    if isinstance(system, FramesSystem):
        # Its own head judges frames, so a classifier of its encoder is left out.
        frames = False
        if name in context.grid.localising:
            frame_scores = context.files.located(name), "score_frames"
    elif frames and start is not None:
        frame_scores = context.files.frames(start), "posttrain"
    folder = context.files.finetuned(name)
    check_card(folder)
    isa = read_card(folder).isa
    encoder = work(context, system, "").start
    return _Source(context, name, system, encoder, isa, frames, frame_scores)


def _copy_weights(source: _Source, folder: Path) -> None:
    """Write encoder, adapters, head and frame classifier, or the mixtures of an LFCC system."""
    trained = source.files.finetuned(source.name)
    if source.encoder is None:
        shutil.copyfile(trained / MIXTURES, folder / MIXTURES)
        return
    (folder / ENCODER).mkdir()
    shutil.copyfile(trained / HEAD, folder / HEAD)
    if source.frames:
        path = need_file(source.encoder / CLASSIFIER, "posttrain")
        shutil.copyfile(path, folder / CLASSIFIER)
    adapter = source.system.adapter if isinstance(source.system, Neural) else None
    if source.system.starts_from == "random" or isinstance(adapter, Full):
        _write_encoder(source, isinstance(adapter, Full), folder / ENCODER)
    else:
        for name in ENCODER_FILES:
            shutil.copyfile(source.encoder / name, folder / ENCODER / name)
    if isinstance(adapter, Lora):
        shutil.copyfile(trained / ADAPTER, folder / ADAPTER)
        _write_adapter_config(trained / ADAPTER_CONFIG, folder)


def _write_encoder(source: _Source, trained: bool, folder: Path) -> None:
    """Write an encoder that is in no folder: drawn at random, or trained by the system itself."""
    assert source.encoder is not None
    seed = source.files.seed if source.system.starts_from == "random" else None
    with torch.random.fork_rng(devices=[]):
        backbone = backbones.load(source.encoder, source.preset.encoder, seed)
    if trained:
        path = source.files.finetuned(source.name) / ADAPTER
        backbone.model.load_state_dict(load_tensors(path, "finetune"))
    preprocessor = read_object(source.encoder / "preprocessor_config.json")
    backbones.save(backbone, folder, preprocessor)


def _write_adapter_config(trained: Path, folder: Path) -> None:
    """Write PEFT's configuration with the base model named, as AutoPeftModel wants it."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    model: Any = MODEL_MAPPING[type(AutoConfig.from_pretrained(folder / ENCODER))]
    config = {
        **read_object(trained),
        "base_model_name_or_path": ENCODER,
        "auto_mapping": {"base_model_class": model.__name__, "parent_library": model.__module__},
        "inference_mode": True,
    }
    write_json(folder / ADAPTER_CONFIG, config)


def _contents(source: _Source, files: dict[str, str]) -> Contents:
    preset, layout = source.preset, source.files
    table = manifest.read(layout.manifest, ["train", "dev"])
    dev = read_trainings(layout, table, source.name, "dev", [layout.seed])[0]
    bonafide, spoof = scorefiles.by_class(dev)
    fitted = calibration.fit(bonafide, spoof)
    frames = None
    if source.frame_scores is not None:
        scores = read_frames(*source.frame_scores)
        heldout = scores[scores["set"] == HELDOUT]
        frames = _frames(heldout, preset.evaluate.segment_iou)
    return Contents(
        format=FORMAT,
        name=source.name,
        title=preset.title,
        system=source.system,
        encoder=preset.encoder,
        score=preset.score,
        seed=layout.seed,
        calibration=_calibration(fitted),
        threshold=detection.eer_threshold(bonafide, spoof),
        frames=frames,
        trained_on=_trained_on(source, table[table["set"] == "train"]),
        evaluated=_evaluated(source, source.name),
        made_by=MadeBy(
            version=__version__,
            commit=_commit(),
            dvc_lock=sha256_file(Path("dvc.lock")) if Path("dvc.lock").is_file() else "",
            isa=source.isa,
        ),
        files=files,
    )


def _calibration(fitted: calibration.Affine | None) -> Calibration | None:
    return None if fitted is None else Calibration(slope=fitted.slope, offset=fitted.offset)


def _frames(heldout: pd.DataFrame, min_iou: float) -> Frames:
    """Return the rule for frames, chosen on the scores of held-out splices."""
    # Scores of frames are minus their logits.
    threshold = -frame_threshold(heldout)
    labels = [one == 1 for one in heldout["labels"]]
    logits = [-one for one in heldout["scores"]]
    decision = decisions.fit(labels, logits, threshold, decisions.PRIOR, min_iou)
    return Frames(
        threshold=threshold,
        prior=decisions.PRIOR,
        smooth=decision.smooth,
        shortest=decision.shortest,
        calibration=_calibration(decision.calibration),
    )


def _trained_on(source: _Source, train: pd.DataFrame) -> TrainedOn:
    given = source.preset.pretrain
    level, bandwidth = _measured(train)
    return TrainedOn(
        preset=source.context.name,
        corpora=list(source.preset.protocol.corpora),
        base_model=f"{given.name}@{given.revision}" if isinstance(given, Hub) else "",
        utterances=len(train),
        attacks=sorted(train.loc[train["label"] == "spoof", "attack"].unique()),
        level_db=level,
        bandwidth_hz=bandwidth,
    )


def _measured(train: pd.DataFrame) -> tuple[Spread | None, Spread | None]:
    """Return level and bandwidth of the training utterances."""
    refs = manifest.refs(train)
    n_measured = min(len(refs), MEASURED)
    rows = np.arange(n_measured) * len(refs) // n_measured
    try:
        waves = [read(refs[row]) for row in rows]
    except MixframeError as error:
        log(f"export: level and bandwidth of the training set are left out: {error}")
        return None, None

    def spread(values: list[float]) -> Spread:
        low, median, high = np.percentile(values, [1, 50, 99]).tolist()
        return Spread(low=low, median=median, high=high)

    return (
        spread([measures.level_db(wave) for wave in waves]),
        spread([measures.bandwidth_hz(wave) for wave in waves]),
    )


def _evaluated(source: _Source, system: str) -> dict[str, Evaluated]:
    """Return the figures of a system by evaluation set."""
    drawn = source.preset.evaluate.bootstrap
    path = need_file(source.files.details(system), "evaluate")
    figures = {}
    for name, of_set in read_object(path).items():
        interval = span(of_set)
        if interval is None:
            raise MixframeError(f"{path}: {name} has no interval of the EER")
        figures[name] = Evaluated(
            eer=of_set["eer"],
            low=interval[0],
            high=interval[1],
            level=drawn.level,
            unit=drawn.unit,
            trials=of_set["n_bonafide"] + of_set["n_spoof"],
            seeds=source.context.grid.seed,
        )
    return figures


def _commit() -> str:
    """Return the git commit of the project; "" where there is none."""

    def git(*command: str) -> str:
        ran = subprocess.run(["git", *command], capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
