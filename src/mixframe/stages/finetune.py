"""Stage finetune: train one system of the grid on the train set, select on the dev set.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar}, the encoder the system starts from
(results/<preset>/pretrain/ or results/<preset>/posttrain/<system>/), the preset's
`finetune.<system>`, `encoder`, `score` and `seed`.
Writes: results/<preset>/finetune/<system>/ (neural systems: adapter_config.json and
adapter_model.safetensors in PEFT's format, head.safetensors; classical ones: model.safetensors;
card.json, which pins them all), results/<preset>/scores/<system>/dev.tsv and
results/<preset>/curves/finetune-<system>.csv.
"""

import numpy as np

from mixframe import lfcc, manifest, scorefiles
from mixframe.audio import SAMPLE_RATE
from mixframe.models import backbone as backbones
from mixframe.params import Lfcc, Lora, Neural, pick
from mixframe.stages.context import Context, fresh_folder, running, state_key, write_rows
from mixframe.systems import LINEAR, new_detector, save_linear, start_encoder, write_card
from mixframe.training.data import cached_reader
from mixframe.training.loop import Runner, train
from mixframe.training.utterances import UtteranceTask


def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not in the preset, an input is missing, or training diverges.
    """
    params = pick(context.preset.finetune, system, "finetune")
    with running(context, "finetune", system):
        if isinstance(params, Lfcc):
            _classical(context, system, params)
        else:
            _neural(context, system, params)


def _neural(context: Context, system: str, params: Neural) -> None:
    preset, files = context.preset, context.files
    table = manifest.read(files.manifest, ["train", "dev"])
    dev = table[table["set"] == "dev"]
    detector = new_detector(preset, files, system, params)
    lora_dropout = params.adapter.dropout if isinstance(params.adapter, Lora) else 0.0
    random_layers = preset.encoder.dropout > 0 or lora_dropout > 0
    runner = Runner(context.compute, params.train.precision, random_layers)
    read = cached_reader(context.compute.keep_utterances)
    task = UtteranceTask(
        detector, params, preset.score, read, table[table["set"] == "train"], dev, preset.seed
    )
    start = start_encoder(preset, files, system, params)
    values = {
        "finetune": params.model_dump(),
        "encoder": preset.encoder.model_dump(),
        "score": preset.score.model_dump(),
        "seed": preset.seed,
    }
    inputs = [files.manifest, files.audio, *(start / name for name in backbones.FILES)]
    state = files.state("finetune", system, state_key(values, inputs))
    outcome = train(
        task, params.train, params.average, runner, state, preset.seed, f"finetune {system}"
    )
    counts = {
        "trainable": sum(p.numel() for p in detector.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in detector.parameters()),
    }
    with fresh_folder(files.finetuned(system)) as folder:
        detector.save(folder)
        write_card(folder, start, {"parameters": counts, "averaged_steps": outcome.steps})
    _write_dev(context, system, dev["utterance"].tolist(), task.dev_scores(runner))
    write_rows(outcome.rows, files.curve("finetune", system))
    state.unlink(missing_ok=True)


def _classical(context: Context, system: str, params: Lfcc) -> None:
    preset, files = context.preset, context.files
    table = manifest.read(files.manifest, ["train", "dev"])
    Runner(context.compute)
    read = cached_reader(0)
    longest = int(preset.score.max_seconds * SAMPLE_RATE)
    lengths = [min(n, longest) for n in table["samples"]]
    values = lfcc.features(manifest.refs(table), lengths, params, read, f"finetune {system}")
    bonafide = (table["label"] == "bonafide").to_numpy()
    dev = (table["set"] == "dev").to_numpy()
    model, rows = lfcc.fit(values[~dev], bonafide[~dev], values[dev], bonafide[dev], params)
    n_parameters = model.weight.size + 1
    with fresh_folder(files.finetuned(system)) as folder:
        save_linear(model, folder / LINEAR)
        counts = {"trainable": n_parameters, "total": n_parameters}
        write_card(folder, None, {"parameters": counts})
    _write_dev(context, system, table.loc[dev, "utterance"].tolist(), model.score(values[dev]))
    write_rows(rows, files.curve("finetune", system))


def _write_dev(context: Context, system: str, utterances: list[str], scores: np.ndarray) -> None:
    scorefiles.write_scores(context.files.scores(system, "dev"), utterances, scores)
