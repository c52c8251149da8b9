"""A small project with results on data sets in the form of the Arena."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mixframe.audio import manifest
from mixframe.base.files import sha256_file, write_json
from mixframe.bundle.arena.core import read_arena_manifest, write_preset
from mixframe.experiment.layout import Layout
from mixframe.metrics.scorefiles import write_scores

ROOT = Path(__file__).parents[1]
OWNER = "SpeechAntiSpoofingBenchmarks"
WILD, VOICE, EMO = (f"{OWNER}/{name}" for name in ("InTheWild", "DeepVoice", "EmoSpoofTTS"))
REVISION = "ab" * 20
COMMIT = "0123abc"
N = 40
"""Trials of each data set; two of InTheWild have no usable audio."""
SYSTEMS = ["lora", "mfpt"]

ARENA = {
    "ranking_version": "2026-06",
    "schema_version": 2,
    "metrics_in_use": ["eer_percent", "srr_complement"],
    "tiers": [
        {"name": "gold", "min_coverage": 1.0, "requires_paper": True},
        {"name": "silver", "min_coverage": 0.5, "requires_paper": True},
        {"name": "bronze", "min_coverage": 0.0, "requires_paper": True},
    ],
    "core_set": [
        {"id": WILD, "revision": REVISION, "n_trials": N, "category": "wild"},
        {"id": VOICE, "revision": REVISION, "n_trials": N},
        {"id": EMO, "revision": REVISION, "n_trials": 20, "metric": "srr_complement"},
    ],
    "extended": [],
}

META = {
    "system": {
        "name": "MFPT",
        "slug": "mfpt-small",
        "description": "A test.",
        "code": "https://example.org/code",
        "checkpoint": "https://example.org/model",
    },
    "submitter": {"hf_username": "someone", "contact": "someone@example.org"},
    "model_repo": "someone/mfpt",
    "notes": "No augmentation.",
}


def write_yaml(path, values):
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def write_labels(path, labels):
    """Write a labels.parquet of 0 and 1 by id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names, values = pa.array(list(labels), pa.string()), pa.array(labels.values(), pa.int8())
    pq.write_table(pa.table({"utterance_id": names, "label": values}), path)
    return path


def labelled(name):
    """Return the labels of a data set: 0 bona fide and 1 spoof by id."""
    return {f"{name}_{i:02d}": i % 2 for i in range(N)}


def rows(name, ids):
    """Return rows of a manifest."""
    table = pd.DataFrame({"utterance": [f"{name}/{one}" for one in ids], "set": name})
    labels = [labelled(name)[one] for one in ids]
    table["label"] = np.where(np.array(labels) == 1, "spoof", "bonafide")
    columns = [column for column in manifest.COLUMNS if column not in table]
    table = table.assign(**dict.fromkeys(columns, "-"))
    return table.assign(offset=0, n_bytes=1, samples=16000, regions=[[]] * len(table))


def project(folder):
    """Write a project whose preset arena_core has scores of two systems on two data sets."""
    for name in ("params.yaml", "presets/demo.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    arena = read_arena_manifest(write_yaml(folder / "arena.yaml", ARENA))
    path, _ = write_preset(arena, "demo", root=folder)
    values = yaml.safe_load(path.read_text())
    values["grid"] |= {"system": SYSTEMS, "classical": [], "borrowing": [], "voting": []}
    values["grid"] |= {"foundation": ["lora"], "posttrained": ["mfpt"]}
    write_yaml(path, values)
    files = Layout("arena_core", 1, "arena_core")
    tables, entries = [], {}
    for number, name in enumerate(("InTheWild", "DeepVoice")):
        labels = labelled(name)
        stored = f"data/arena_{name}/labels.parquet"
        path = write_labels(folder / stored, labels)
        pinned = {"path": stored, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        entries[f"arena_{name}"] = {"kind": "arena", "files": [pinned]}
        usable = list(labels)[: N - 2 if name == "InTheWild" else N]
        tables.append(rows(name, usable))
        for system, shift in zip(SYSTEMS, (1, 2), strict=True):
            rng = np.random.default_rng([number, shift])
            scores = rng.normal(0, 1, len(usable)) - shift * tables[-1]["label"].eq("spoof")
            write_scores(folder / files.scores(system, name), tables[-1]["utterance"], scores)
    manifest.write(pd.concat(tables, ignore_index=True), folder / files.manifest)
    write_json(folder / files.download, entries)
    card = {
        "isa": "avx2",
        "parameters": {"trainable": 1, "total": 1_125_639},
        "files": {},
        "encoder": {"folder": "", "files": {}},
    }
    write_json(folder / files.finetuned("mfpt") / "card.json", card)
    write_yaml(folder / "meta.yaml", META)
    return folder
