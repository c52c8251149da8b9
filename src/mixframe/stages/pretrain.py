"""Stage pretrain: the foundation model, trained here, fetched from a hub, or taken from a folder.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar} (only where it is trained here), the
preset's `pretrain` section and `seed`.
Writes: results/<preset>/pretrain/{config.json, model.safetensors, preprocessor_config.json} as
`transformers.AutoModel.from_pretrained` reads them, and results/<preset>/pretrain/curve.csv.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoModel

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, AudioRef, Reader
from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object, sha256_file
from mixframe.base.progress import log, progress
from mixframe.models import backbone as backbones
from mixframe.models.params import ENCODER_FILES, Hub
from mixframe.stages.context import Context, fresh_folder, parallel, running, state_key, write_rows
from mixframe.training.data import cached_reader
from mixframe.training.loop import train
from mixframe.training.masked import Clusters, MaskedPrediction, MaskedTask, Utterances
from mixframe.training.params import Scratch
from mixframe.training.runner import Runner

CONFIG, WEIGHTS, PREPROCESSOR = ENCODER_FILES
PICKLED = "pytorch_model.bin"


@parallel
def run(context: Context) -> None:
    """Run the stage.

    Raises:
        MixframeError: the foundation model cannot be had, or is not of the wav2vec 2.0 family.
    """
    section, files = context.preset.pretrain, context.files
    with running(context, "pretrain"):
        if isinstance(section, Scratch):
            _train(context, section)
        else:
            source = from_hub(section) if isinstance(section, Hub) else Path(section.path)
            with fresh_folder(files.foundation) as folder:
                adopt(source, folder)
            write_rows([], files.curve("pretrain"))
        weights = files.foundation / "model.safetensors"
        log(f"  {weights}: sha256 {sha256_file(weights)}")


def adopt(source: Path, folder: Path) -> None:
    """Copy a foundation model that was trained elsewhere.

    Where it comes as pytorch_model.bin only, the encoder in it is written as safetensors; the file
    is read with `weights_only`, so that nothing in it is run.

    Raises:
        MixframeError: a file is missing, the architecture is not supported, the model wants
            another rate than 16 kHz, or weights are missing.
    """
    config = read_object(source / CONFIG)
    preprocessor = read_object(source / PREPROCESSOR)
    backbones.grid_of(config, str(source / CONFIG))
    rate = preprocessor.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise MixframeError(
            f"{source / PREPROCESSOR}: sampling_rate {rate}, expected {SAMPLE_RATE}: every "
            "utterance is read at that rate"
        )
    if (source / WEIGHTS).is_file() or not (source / PICKLED).is_file():
        need_file(source / WEIGHTS)
        for name in ENCODER_FILES:
            shutil.copyfile(source / name, folder / name)
        return
    log(f"  {source / PICKLED}: converting to safetensors")
    backbones.save(backbones.from_pickle(source, preprocessor), folder, preprocessor)


def from_hub(section: Hub) -> Path:
    """Return a folder with the files of a model on the hub, safetensors where there are any.

    Raises:
        MixframeError: the hub does not serve it; the message says what to fetch by hand.
    """

    def fetch(*names: str) -> Path:
        patterns = list(names)
        return Path(
            snapshot_download(section.name, revision=section.revision, allow_patterns=patterns)
        )

    try:
        folder = fetch(*ENCODER_FILES)
        # Many of these models were published before safetensors.
        return folder if (folder / WEIGHTS).is_file() else fetch(*ENCODER_FILES, PICKLED)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MixframeError(
            f"pretrain.name = {section.name!r} at revision {section.revision}: the hub did not "
            f"serve it ({type(error).__name__}). Fetch {CONFIG}, {PREPROCESSOR} and {WEIGHTS} or "
            f"{PICKLED} by hand into a folder and set pretrain to "
            "{kind: folder, path: <that folder>}"
        ) from error


def _train(context: Context, section: Scratch) -> None:
    preset, files = context.preset, context.files
    table = manifest.read(files.manifest, ["train", "dev"])
    table = table[table["label"] == "bonafide"]
    read = cached_reader(context.compute.keep_utterances)
    torch.manual_seed(preset.seed)
    config = backbones.new_config(section.architecture)
    # The mask embedding exists only where the configuration masks; it is not part of the result.
    config.mask_time_prob, config.apply_spec_augment = section.masking.probability, True
    preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
    encoder = backbones.wrap(AutoModel.from_config(config), preprocessor)
    model = MaskedPrediction(encoder, section.targets.clusters)
    runner = Runner(context.compute, section.train.precision)
    clusters = Clusters(section.targets, encoder.grid.hop)
    sets = {
        name: _features(table[table["set"] == name], clusters, read) for name in ("train", "dev")
    }
    clusters.fit(sets["train"][2], preset.seed)
    with_targets = {
        name: Utterances(refs, samples, [clusters.targets(f) for f in features])
        for name, (refs, samples, features) in sets.items()
    }
    task = MaskedTask(
        model, encoder, section, read, with_targets["train"], with_targets["dev"], preset.seed
    )
    values = {"pretrain": section, "seed": preset.seed}
    key = state_key("pretrain", values, [files.manifest, files.audio])
    state = files.state("pretrain", "all", key)
    outcome = train(task, section.train, 0, runner, state, preset.seed, "pretrain")
    if not runner.world.main:
        return
    config.mask_time_prob, config.apply_spec_augment = 0.0, False
    del encoder.model.masked_spec_embed
    with fresh_folder(files.foundation) as folder:
        backbones.save(encoder, folder, preprocessor)
    write_rows(outcome.rows, files.curve("pretrain"))
    state.unlink(missing_ok=True)


def _features(
    rows: pd.DataFrame, clusters: Clusters, read: Reader
) -> tuple[list[AudioRef], list[int], list[np.ndarray]]:
    refs = manifest.refs(rows)
    features = [
        clusters.features(read(ref, 0, None))
        for ref in progress(refs, len(refs), "MFCC", "utterances")
    ]
    return refs, rows["samples"].tolist(), features
