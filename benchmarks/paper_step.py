"""Two training steps of a paper-size system: `python -m benchmarks.paper_step PRESET SYSTEM`.

Of a system on a post-trained encoder, two steps of the post-training as well. The encoder has the
shape of the preset's foundation model and random weights, the corpus is noise, so nothing is
downloaded. On a GPU the batch is the preset's; on a CPU it is two utterances a slice.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoModel

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, AudioRef, Waveform
from mixframe.audio.manifest import LABELS
from mixframe.audio.splicing import planning, rendering
from mixframe.experiment.layout import HELDOUT
from mixframe.experiment.params import Preset, lookup, read_preset
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Hub
from mixframe.models.published import published_config
from mixframe.training.frames import FrameModel, FrameTask
from mixframe.training.loop import Task, train
from mixframe.training.params import Train
from mixframe.training.runner import Runner
from mixframe.training.systems.neural import Neural
from mixframe.training.utterances import UtteranceTask

LENGTH = 3 * SAMPLE_RATE


def noise(ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
    """Return noise in the place of an utterance; it depends on the utterance's name only."""
    rng = np.random.default_rng([*ref.path.encode()])
    end = None if n_samples is None else start + n_samples
    whole = rng.normal(0, 0.1, LENGTH).astype(np.float32)
    return whole[start:end]


def measure(preset_name: str, system: str) -> dict[str, Any]:
    """Train two steps of a system, and two of the post-training of its encoder.

    Returns:
        the device; by stage (posttrain where there is one, finetune) the utterances of a step, how
        many parameters are trained, the mean loss, the seconds of a step, and on a GPU the GiB.
    """
    preset = read_preset(preset_name)
    params = lookup(preset.finetune, system, "finetune")
    assert isinstance(params, Neural)
    assert isinstance(preset.pretrain, Hub)
    torch.manual_seed(0)
    config = published_config(preset.pretrain.name)
    preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
    figures: dict[str, Any] = {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = backbones.wrap(AutoModel.from_config(config), preprocessor)
        backbones.save(model, folder, preprocessor)
        del model
        if params.encoder in preset.posttrain:
            figures["posttrain"] = _posttrain(preset, params.encoder, folder)
        figures["finetune"] = _finetune(preset, params, folder)
    return figures


def _posttrain(preset: Preset, name: str, folder: Path) -> dict[str, Any]:
    section = preset.posttrain[name]
    section = section.model_copy(update={"train": _shortened(section.train)})
    encoder = backbones.load(folder, preset.encoder)
    rows = corpus([LENGTH] * 2 * section.train.batch)
    where = dict(zip(rows["utterance"], manifest.refs(rows), strict=True))
    spliced, heldout = (
        rendering.recipes(
            planning.plan(rows.assign(set=p.set), p, encoder.grid, preset.seed), where
        )
        for p in (preset.splice[name], preset.splice[HELDOUT])
    )
    model = FrameModel(encoder, section.adapter, section.classifier_hidden, preset.seed)
    task = FrameTask(model, section, noise, spliced, heldout, preset.seed)
    return _train(task, section.train, preset, folder / "posttrain.pt")


def _finetune(preset: Preset, params: Neural, folder: Path) -> dict[str, Any]:
    params = params.model_copy(update={"train": _shortened(params.train)})
    encoder = backbones.load(folder, preset.encoder)
    detector = Detector(encoder, params.adapter, params.head, 0)
    rows = corpus([LENGTH] * 2 * params.train.batch)
    task = UtteranceTask(detector, params, preset.score, noise, rows, rows.iloc[:4], preset.seed)
    return _train(task, params.train, preset, folder / "finetune.pt")


def _shortened(section: Train) -> Train:
    batch = section.batch if torch.cuda.is_available() else 2 * section.slices
    steps = {"steps": 2, "batch": batch, "evaluate_every": 2, "checkpoint_every": 2}
    return section.model_copy(update=steps)


def _train(task: Task, section: Train, preset: Preset, state: Path) -> dict[str, Any]:
    runner = Runner(preset.compute, section.precision, sequential=True)
    gpu = runner.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    outcome = train(task, section, 1, runner, state, 0, state.stem)
    return {
        "batch": section.batch,
        "trained_parameters": sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        "loss": outcome.rows[-1]["loss"],
        "seconds_a_step_with_checks": (time.perf_counter() - start) / 2,
        "gpu_gib": torch.cuda.max_memory_allocated() / 2**30 if gpu else None,
    }


def corpus(samples: Sequence[int]) -> pd.DataFrame:
    """Return manifest rows u0, u1 ... of one speaker, every other one spoofed, of these lengths."""
    n = len(samples)
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(n)],
            "set": "train",
            "label": [LABELS[i % 2] for i in range(n)],
            "speaker": "one",
            "path": [f"u{i}" for i in range(n)],
            "offset": 0,
            "n_bytes": 0,
            "samples": samples,
        }
    )


def main() -> None:
    """Print the figures."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(json.dumps(measure(*sys.argv[1:])))


if __name__ == "__main__":
    main()
