"""Stage finetune: train one system of the grid on its training sets, select on the dev set.

Reads: results/<preset>/corpus/{manifest.parquet, audio.tar}, the encoder the system starts from
(results/<preset>/pretrain/ or results/<preset>/posttrain/<system>/<seed>/), the preset's
`finetune.<system>`, `encoder` and `score`, the seed of the run.
Writes: results/<preset>/finetune/<system>/<seed>/ (neural systems: adapter_config.json and
adapter_model.safetensors in PEFT's format, head.safetensors; classical ones: model.safetensors;
card.json, which pins them all), results/<preset>/scores/<system>/<seed>/dev.tsv and
results/<preset>/curves/finetune-<system>-<seed>.csv.
"""

from mixframe.audio import manifest
from mixframe.base.files import need_file
from mixframe.experiment.params import lookup
from mixframe.metrics import scorefiles
from mixframe.models.params import ENCODER_FILES
from mixframe.stages.context import Context, fresh_folder, parallel, running, state_key, write_rows
from mixframe.stages.systems import work, write_card


@parallel
def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not in the preset, an input is missing, or training diverges.
    """
    preset, files = context.preset, context.files
    params = lookup(preset.finetune, system, "finetune")
    cell = f"{system}-{context.seed}"
    with running(context, "finetune", cell):
        table = manifest.read(files.manifest, [*params.learns_from, "dev"])
        todo = work(context, params, f"finetune {cell}")
        values = {
            "finetune": params,
            "encoder": preset.encoder,
            "score": preset.score,
            "seed": context.seed,
        }
        inputs = [files.manifest, files.audio]
        if todo.start is not None:
            maker = "pretrain" if todo.start == files.foundation else "posttrain"
            inputs += [need_file(todo.start / name, maker) for name in ENCODER_FILES]
        state = files.state("finetune", cell, state_key("finetune", values, inputs))
        fitted = params.fit(todo, table, state)
        if fitted is None:
            return
        with fresh_folder(files.finetuned(system)) as folder:
            fitted.save(folder)
            write_card(folder, todo.start, fitted.card)
        dev = table.loc[table["set"] == "dev", "utterance"].tolist()
        scorefiles.write_scores(files.scores(system, "dev"), dev, fitted.dev_scores)
        write_rows(fitted.curve, files.curve("finetune", system))
        state.unlink(missing_ok=True)
