"""Stage posttrain: teach the encoder to see spliced-in frames (MFPT), or its control.

Reads: results/<preset>/pretrain/, results/<preset>/corpus/{manifest.parquet, audio.tar},
results/<preset>/{splice/<system>/<seed>, heldout}/plan.parquet, the preset's `posttrain.<system>`
and `encoder`, the seed of the run.
Writes: results/<preset>/posttrain/<system>/<seed>/{config.json, model.safetensors,
preprocessor_config.json, classifier.safetensors}, results/<preset>/scores/<system>/<seed>/
frames.parquet and results/<preset>/curves/posttrain-<system>-<seed>.csv.
"""

from collections.abc import Sequence

import pandas as pd

from mixframe.audio import manifest
from mixframe.audio.io import Reader
from mixframe.audio.splicing.planning import read_plan
from mixframe.audio.splicing.rendering import Recipe, as_recorded, recipes
from mixframe.base.files import atomic_path, read_object
from mixframe.base.tensors import save_tensors
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import lookup
from mixframe.models import backbone as backbones
from mixframe.models.params import ENCODER_FILES, draws_numbers
from mixframe.stages.context import Context, fresh_folder, parallel, running, state_key, write_rows
from mixframe.training.data import cached_reader
from mixframe.training.frames import FrameModel, FrameTask, frame_scores
from mixframe.training.loop import train
from mixframe.training.runner import Runner


@parallel
def run(context: Context, system: str) -> None:
    """Run the stage for one system.

    Raises:
        MixframeError: the system is not in the preset, an input is missing, or training diverges.
    """
    preset, files = context.preset, context.files
    section = lookup(preset.posttrain, system, "posttrain")
    cell = f"{system}-{context.seed}"
    with running(context, "posttrain", cell):
        table = manifest.read(files.manifest)
        where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
        planned = recipes(read_plan(files.plan(system)), where)
        heldout = read_plan(files.plan(HELDOUT))
        encoder = backbones.load(files.foundation, preset.encoder)
        model = FrameModel(encoder, section.adapter, section.classifier_hidden, context.seed)
        random_layers = draws_numbers(preset.encoder, section.adapter)
        runner = Runner(context.compute, section.train.precision, random_layers)
        read = cached_reader(context.compute.keep_utterances)
        task = FrameTask(model, section, read, planned, recipes(heldout, where), context.seed)
        inputs = [
            *(files.foundation / name for name in ENCODER_FILES),
            files.manifest,
            files.audio,
            files.plan(system),
            files.plan(HELDOUT),
        ]
        values = {
            "posttrain": section,
            "encoder": preset.encoder,
            "seed": context.seed,
        }
        state = files.state("posttrain", cell, state_key("posttrain", values, inputs))
        outcome = train(task, section.train, 0, runner, state, context.seed, f"posttrain {cell}")
        # Later stages read a plain encoder; its frames are scored as they will see it.
        model.merge()
        scored = {HELDOUT: (heldout["base"], recipes(heldout, where))}
        for name in section.localise:
            rows = table[table["set"] == name]
            scored[name] = (rows["utterance"], as_recorded(rows))
        frames = pd.concat(
            [
                _frames(name, utterances, model, of_set, section.train.part, read, runner)
                for name, (utterances, of_set) in scored.items()
            ]
        )
        if not runner.world.main:
            return
        with fresh_folder(files.posttrained(system)) as folder:
            preprocessor = read_object(files.foundation / "preprocessor_config.json")
            backbones.save(encoder, folder, preprocessor)
            path = folder / "classifier.safetensors"
            save_tensors(model.classifier.state_dict(), path)
        with atomic_path(files.frames(system)) as temporary:
            frames.to_parquet(temporary, index=False, compression="zstd")
        write_rows(outcome.rows, files.curve("posttrain", system))
        state.unlink(missing_ok=True)


def _frames(
    name: str,
    utterances: Sequence[str],
    model: FrameModel,
    of_set: Sequence[Recipe],
    batch: int,
    read: Reader,
    runner: Runner,
) -> pd.DataFrame:
    """Score the frames of a set: set, utterance, labels (1 = injected), scores (higher = not)."""
    logits, labels = frame_scores(model, of_set, batch, read, runner)
    return pd.DataFrame(
        {
            "set": name,
            "utterance": list(utterances),
            "labels": labels,
            "scores": [-values for values in logits],
        }
    )
