"""A tiny project with trained systems of every kind, made without training any but the LFCC one."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from transformers import AutoModel

from mixframe.audio import manifest
from mixframe.audio.io import encode_flac, read, tar_writer
from mixframe.audio.splicing.rendering import as_recorded
from mixframe.base.compute import Compute
from mixframe.base.files import write_json
from mixframe.base.tensors import save_tensors
from mixframe.experiment.layout import HELDOUT, Layout
from mixframe.experiment.params import read_preset
from mixframe.metrics import scorefiles
from mixframe.models import backbone as backbones
from mixframe.models.detector import Detector
from mixframe.models.params import Frozen
from mixframe.stages.systems import write_card
from mixframe.training.frames import FrameModel, frame_scores
from mixframe.training.runner import Runner
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work
from tests.conftest import ARCHITECTURE, choice_of, tone

PRESETS = Path(__file__).parents[2] / "presets"
COMPUTE = Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned")
FILES = Layout("tiny", 1, "tiny")
EVAL = "eval_partial"
SYSTEMS = ("lfcc", "lora", "random", "conformer", "frames", "mfpt", "localiser", "mfpt_fgfm")
FIGURES = {"eer": 0.125, "eer_low": 0.05, "eer_high": 0.25, "n_bonafide": 6, "n_spoof": 6}


def build_project() -> None:
    """Write presets, parameters and results into the working directory."""
    _write_preset()
    _write_corpus()
    preset = read_preset("tiny")
    _write_encoder(FILES.foundation, seed=0)
    _write_encoder(FILES.posttrained("mfpt"), seed=1)
    _write_frames()
    table = manifest.read(FILES.manifest)
    for name in SYSTEMS:
        system = preset.finetune[name]
        start = None
        if system.starts_from is not None:
            untouched = system.starts_from in ("random", "foundation")
            start = FILES.foundation if untouched else FILES.posttrained(system.starts_from)
        work = Work(start, preset.encoder, preset.score, COMPUTE, 1, "")
        folder = FILES.finetuned(name)
        folder.mkdir(parents=True)
        if isinstance(system, Neural):
            _trained_at_random(system, work).save(folder)
        else:
            fitted = system.fit(work, table[table["set"].isin(["train", "dev"])], Path("state"))
            fitted.save(folder)
        write_card(folder, start, {"parameters": {"trainable": 1, "total": 1}})
        for of_set in ("dev", EVAL):
            rows = table[table["set"] == of_set]
            scores = system.score(work, folder, rows)
            scorefiles.write_scores(FILES.scores(name, of_set), rows["utterance"].tolist(), scores)
        write_json(FILES.details(name), {EVAL: FIGURES})


def _write_preset() -> None:
    values = yaml.safe_load((PRESETS / "smoke.yaml").read_text())
    values["title"], values["base"] = "Tiny, of *random* weights", "tiny"
    values["finetune"]["localiser"] = {"kind": "localiser", "encoder": "mfpt", "share": 0.2}
    values["score"]["max_seconds"] = 0.8
    values["grid"] |= {
        "system": list(SYSTEMS),
        "classical": ["lfcc"],
        "foundation": ["lora", "random", "conformer", "frames"],
        "borrowing": ["localiser", "mfpt_fgfm"],
    }
    Path("presets").mkdir()
    Path("presets/tiny.yaml").write_text(yaml.safe_dump(values))
    choice = choice_of("tiny", values)
    Path("params.yaml").write_text(yaml.safe_dump(choice))


def _write_corpus() -> None:
    """Write tones from 0.3 to 1.2 s: some are longer than what systems hear."""
    rows = []
    rng = np.random.default_rng(0)
    with tar_writer(FILES.audio) as audio:
        for name in ("train", "dev", EVAL):
            for i in range(12):
                label = "bonafide" if i % 2 else "spoof"
                n_samples = int(rng.uniform(0.3, 1.2) * 16_000)
                wave = tone(n_samples, seed=len(rows), loud=0.05 if i % 2 else 0.2)
                ref = audio.add(f"{len(rows)}.flac", encode_flac(wave))
                rows.append(
                    {
                        "utterance": f"{name}_{i:02d}",
                        "set": name,
                        "label": label,
                        "speaker": f"speaker{i % 3}",
                        "attack": "-" if label == "bonafide" else f"A{i % 4}",
                        "codec": "-",
                        "subset": "-",
                        "prompt": f"prompt{i // 2}",
                        "path": ref.path,
                        "offset": ref.offset,
                        "n_bytes": ref.n_bytes,
                        "samples": n_samples,
                        "regions": [0, n_samples // 2] if label == "spoof" else [],
                    }
                )
    manifest.write(pd.DataFrame(rows), FILES.manifest)


def _write_encoder(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    preprocessor = backbones.preprocessor_config(normalise=True, rate=16_000)
    model = AutoModel.from_config(backbones.new_config(ARCHITECTURE))
    backbones.save(backbones.wrap(model, preprocessor), folder, preprocessor)


def _write_frames() -> None:
    """Write a frame classifier, and its scores of the dev and the evaluation set."""
    folder, preset = FILES.posttrained("mfpt"), read_preset("tiny")
    model = FrameModel(backbones.load(folder, preset.encoder), Frozen(kind="none"), 8, seed=3)
    model.eval()
    save_tensors(model.classifier.state_dict(), folder / "classifier.safetensors")
    table = manifest.read(FILES.manifest)
    parts = []
    for of_set, name in (("dev", HELDOUT), (EVAL, EVAL)):
        rows = table[table["set"] == of_set]
        logits, labels = frame_scores(model, as_recorded(rows), 4, read, Runner(COMPUTE))
        values = {"labels": labels, "scores": [-one for one in logits]}
        parts.append(pd.DataFrame({"set": name, "utterance": list(rows["utterance"]), **values}))
    path = FILES.frames("mfpt")
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(parts).to_parquet(path, index=False)


def _trained_at_random(system: Neural, work: Work) -> Detector:
    """Return a detector whose trainable weights are all moved away from where they start."""
    seed = work.seed if system.encoder == "random" else None
    backbone = backbones.load(work.start, work.encoder, seed)
    detector = Detector(backbone, system.adapter, system.head, work.seed)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in detector.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return detector
