"""Two training steps of a paper-size system: `python -m benchmarks.paper_step PRESET SYSTEM`.

The encoder has the shape of the preset's foundation model and random weights, the corpus is noise,
so nothing is downloaded. On a GPU the batch is the preset's; on a CPU it is two utterances a slice.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoModel

from mixframe.audio.io import SAMPLE_RATE, AudioRef, Waveform
from mixframe.audio.manifest import LABELS
from mixframe.experiment.params import lookup, read_preset
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Hub
from mixframe.models.published import published_config
from mixframe.training.loop import train
from mixframe.training.runner import Runner
from mixframe.training.systems.neural import Neural
from mixframe.training.utterances import UtteranceTask

SECONDS = 3.0


def noise(ref: AudioRef, start: int = 0, n_samples: int | None = None) -> Waveform:
    """Return noise in the place of an utterance; it depends on the utterance's name only."""
    rng = np.random.default_rng([*ref.path.encode()])
    end = None if n_samples is None else start + n_samples
    whole = rng.normal(0, 0.1, int(SECONDS * SAMPLE_RATE)).astype(np.float32)
    return whole[start:end]


def main() -> None:
    """Train and print the seconds of a step and the peak memory."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    preset_name, system = sys.argv[1:]
    preset = read_preset(preset_name)
    params = lookup(preset.finetune, system, "finetune")
    assert isinstance(params, Neural)
    assert isinstance(preset.pretrain, Hub)
    gpu = torch.cuda.is_available()
    batch = params.train.batch if gpu else 2 * params.train.slices
    steps = {"steps": 2, "batch": batch, "evaluate_every": 2, "checkpoint_every": 2}
    section = params.train.model_copy(update=steps)
    params = params.model_copy(update={"train": section})
    torch.manual_seed(0)
    config = published_config(preset.pretrain.name)
    preprocessor = backbones.preprocessor_config(normalise=True, rate=SAMPLE_RATE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        model = backbones.wrap(AutoModel.from_config(config), preprocessor)
        backbones.save(model, path, preprocessor)
        del model
        encoder = backbones.load(path, preset.encoder)
        detector = Detector(encoder, params.adapter, params.head, 0)
        rows = _corpus(2 * batch)
        runner = Runner(preset.compute, section.precision, sequential=True)
        task = UtteranceTask(
            detector, params, preset.score, noise, rows, rows.iloc[:4], preset.seed
        )
        start = time.perf_counter()
        outcome = train(task, section, 1, runner, path / "state.pt", 0, f"{preset_name} {system}")
        seconds = (time.perf_counter() - start) / 2
    gib = torch.cuda.max_memory_allocated() / 2**30 if gpu else None
    loss = outcome.rows[-1]["loss"]
    trained = sum(p.numel() for p in detector.parameters() if p.requires_grad)
    print(
        json.dumps(
            {
                "device": str(runner.device),
                "batch": batch,
                "trained_parameters": trained,
                "loss": loss,
                "seconds_a_step_with_checks": seconds,
                "gpu_gib": gib,
            }
        )
    )


def _corpus(n: int) -> pd.DataFrame:
    samples = int(SECONDS * SAMPLE_RATE)
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(n)],
            "label": [LABELS[i % 2] for i in range(n)],
            "path": [f"u{i}" for i in range(n)],
            "offset": 0,
            "n_bytes": 0,
            "samples": samples,
        }
    )


if __name__ == "__main__":
    main()
