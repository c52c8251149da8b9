"""Stages finetune, score and score_frames of a system that learns from frame labels."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixframe.audio import manifest
from mixframe.audio.splicing import planning
from mixframe.audio.spoofed import whole_utterances
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.files import read_json, write_text
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset, read_preset
from mixframe.metrics import scorefiles
from mixframe.stages import finetune, score, score_frames
from mixframe.stages.context import Context

REPO = Path(__file__).parents[1]
COMPUTE = Compute(device="cpu", processes=1, threads=1, workers=1, keep_utterances=0, isa="pinned")


@pytest.fixture
def context(tmp_path, monkeypatch, encoder_folder, encoder, make_manifest):
    """A folder with a corpus and an encoder, in which the system frames of smoke is trained."""
    table = make_manifest({"train": 4, "train_partial": 3, "dev": 3, "eval_partial": 3})
    partly = table["set"].str.endswith("partial") & (table["label"] == "spoof")
    table["regions"] = [[1600, 4800] if here else [] for here in partly]
    preset = read_preset("smoke", REPO)
    monkeypatch.chdir(tmp_path)
    files = Layout("made", 1)
    manifest.write(table, files.manifest)
    write_text(files.audio, "")
    shutil.copytree(encoder_folder, files.foundation)
    plan = planning.plan(table, preset.splice["heldout"], encoder.grid, 1)
    planning.write_plan(plan, files.plan("heldout"))
    made = Context("made", preset, preset.grid, files, COMPUTE, 1)
    finetune.run(made, "frames")
    return made


def test_frames_of_named_sets_and_of_held_out_splices_have_scores(context, encoder):
    files = context.files
    score.run(context, "frames", "eval_partial")
    score_frames.run(context, "frames")
    located = pd.read_parquet(files.located("frames"))
    assert set(located["set"]) == {"heldout", "eval_partial"}
    table = manifest.read(files.manifest)
    rows = table[table["set"] == "eval_partial"]
    of_set = located[located["set"] == "eval_partial"]
    assert of_set["utterance"].tolist() == rows["utterance"].tolist()
    for recipe, labels in zip(whole_utterances(rows), of_set["labels"], strict=True):
        assert np.array_equal(encoder.grid.labels(recipe.regions, recipe.n_samples), labels)
    # The share of 0.1 of the lowest frame scores is the score of the utterance.
    scores = scorefiles.read_scores(files.scores("frames", "eval_partial"))
    for expected, frames in zip(scores["score"], of_set["scores"], strict=True):
        n = int(np.ceil(np.float32(0.1) * len(frames)))
        assert np.sort(frames)[:n].mean() == pytest.approx(expected, abs=1e-4)
    curve = pd.read_csv(files.curve("finetune", "frames"))
    assert {"dev_eer", "dev_cllr", "dev_loss", "dev_frame_eer"} <= set(curve)
    assert read_json(files.finetuned("frames") / "card.json")["parameters"]["trainable"] > 0

    values = context.preset.model_dump()
    values["finetune"]["frames"]["localise"] = ["eval_partial", "nowhere"]
    elsewhere = Context(
        "made", Preset.model_validate(values), context.grid, files, COMPUTE, context.seed
    )
    with pytest.raises(MixframeError, match=r"frames\.localise: .*no set 'nowhere'"):
        score_frames.run(elsewhere, "frames")
    with pytest.raises(MixframeError, match=r"finetune\.lora: kind neural has no head that judges"):
        score_frames.run(context, "lora")


def test_a_system_that_names_no_sets_hears_nothing_of_a_further_one(context):
    files = context.files

    def trained():
        finetune.run(context, "lora")
        paths = sorted(files.finetuned("lora").iterdir())
        return {p.name: p.read_bytes() for p in [*paths, files.scores("lora", "dev")]}

    before = trained()
    table = manifest.read(files.manifest)
    manifest.write(table[table["set"] != "train_partial"], files.manifest)
    assert trained() == before
