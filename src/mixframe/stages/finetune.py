"""Stage finetune: train one system of the grid on the train set, select on the dev set.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar}, the encoder the system starts from
(results/<preset>/pretrain/ or results/<preset>/posttrain/<system>/<seed>/), the preset's
`finetune.<system>`, `encoder` and `score`, the seed of the run.
Writes: results/<preset>/finetune/<system>/<seed>/ (neural systems: adapter_config.json and
adapter_model.safetensors in PEFT's format, head.safetensors; classical ones: model.safetensors;
card.json, which pins them all), results/<preset>/scores/<system>/<seed>/dev.tsv and
results/<preset>/curves/finetune-<system>-<seed>.csv.
"""

import numpy as np

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE
from mixframe.base.imports import importing
from mixframe.base.progress import is_main
from mixframe.experiment.layout import FOUNDATION_FILES
from mixframe.experiment.params import pick
from mixframe.metrics import detection, scorefiles
from mixframe.models import lfcc
from mixframe.models.params import Lfcc, Lora
from mixframe.stages.context import Context, fresh_folder, parallel, running, state_key, write_rows
from mixframe.stages.systems import MIXTURES, new_detector, save_mixtures, start_encoder, write_card
from mixframe.training.data import cached_reader
from mixframe.training.loop import Runner, train
from mixframe.training.params import Neural


@parallel
def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not in the preset, an input is missing, or training diverges.
    """
    params = pick(context.preset.finetune, system, "finetune")
    with running(context, "finetune", f"{system}-{context.seed}"):
        if isinstance(params, Lfcc):
            _classical(context, system, params)
        else:
            _neural(context, system, params)


def _neural(context: Context, system: str, params: Neural) -> None:
    # The classical system has no need for transformers, which takes seconds to import.
    with importing():
        from mixframe.training.utterances import UtteranceTask

    preset, files = context.preset, context.files
    table = manifest.read(files.manifest, ["train", "dev"])
    dev = table[table["set"] == "dev"]
    detector = new_detector(preset, files, params)
    lora_dropout = params.adapter.dropout if isinstance(params.adapter, Lora) else 0.0
    random_layers = preset.encoder.dropout > 0 or lora_dropout > 0
    runner = Runner(context.compute, params.train.precision, random_layers)
    read = cached_reader(context.compute.keep_utterances)
    task = UtteranceTask(
        detector, params, preset.score, read, table[table["set"] == "train"], dev, context.seed
    )
    start = start_encoder(files, params)
    values = {
        "finetune": params,
        "encoder": preset.encoder,
        "score": preset.score,
        "seed": context.seed,
    }
    inputs = [files.manifest, files.audio, *(start / name for name in FOUNDATION_FILES)]
    state = files.state(
        "finetune", f"{system}-{context.seed}", state_key("finetune", values, inputs)
    )
    what = f"finetune {system}-{context.seed}"
    outcome = train(
        task, params.train, params.average, runner, state, context.seed, what, params.patience
    )
    scores = task.dev_scores(runner)
    if not runner.world.main:
        return
    counts = {
        "trainable": sum(p.numel() for p in detector.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in detector.parameters()),
    }
    with fresh_folder(files.finetuned(system)) as folder:
        detector.save(folder)
        write_card(folder, start, {"parameters": counts, "averaged_steps": outcome.steps})
    _write_dev(context, system, dev["utterance"].tolist(), scores)
    write_rows(outcome.rows, files.curve("finetune", system))
    state.unlink(missing_ok=True)


def _classical(context: Context, system: str, params: Lfcc) -> None:
    if not is_main():
        return
    preset, files = context.preset, context.files
    table = manifest.read(files.manifest, ["train", "dev"])
    read = cached_reader(0)
    longest = int(preset.score.max_seconds * SAMPLE_RATE)
    lengths = [min(n, longest) for n in table["samples"]]
    frames = lfcc.features(manifest.refs(table), lengths, params, read, f"finetune {system}")
    dev = (table["set"] == "dev").to_numpy()
    mixtures = {}
    for label in manifest.LABELS:
        rows = np.flatnonzero(~dev & (table["label"] == label).to_numpy())
        mixtures[label] = lfcc.fit([frames[i] for i in rows], params, context.seed)
    scores = lfcc.score(
        mixtures["bonafide"], mixtures["spoof"], [frames[i] for i in np.flatnonzero(dev)]
    )
    bonafide = (table.loc[dev, "label"] == "bonafide").to_numpy()
    n_parameters = sum(v.size for m in mixtures.values() for v in vars(m).values())
    with fresh_folder(files.finetuned(system)) as folder:
        save_mixtures(mixtures, folder / MIXTURES)
        counts = {"trainable": n_parameters, "total": n_parameters}
        write_card(folder, None, {"parameters": counts})
    _write_dev(context, system, table.loc[dev, "utterance"].tolist(), scores)
    dev_eer = detection.eer(scores[bonafide], scores[~bonafide])
    write_rows(
        [{"components": params.components, "dev_eer": dev_eer}], files.curve("finetune", system)
    )


def _write_dev(context: Context, system: str, utterances: list[str], scores: np.ndarray) -> None:
    scorefiles.write_scores(context.files.scores(system, "dev"), utterances, scores)
