"""Masked prediction: crops of whole frames, whose length is known before they are read."""

import numpy as np

from mixframe.audio import manifest
from mixframe.audio.io import read
from mixframe.experiment.params import read_preset
from mixframe.training.masked import MaskedPrediction, MaskedTask, Utterances


def test_the_length_of_a_crop_is_known_before_it_is_read(encoder, make_manifest):
    table = make_manifest({"train": 4})
    samples = table["samples"].tolist()
    targets = [np.zeros(encoder.grid.n_frames(n), np.int64) for n in samples]
    utterances = Utterances(manifest.refs(table), samples, targets)
    params = read_preset("smoke").pretrain.model_copy(update={"crop_seconds": 0.8})
    model = MaskedPrediction(encoder, params.targets.clusters)
    task = MaskedTask(model, encoder, params, read, utterances, utterances, 0)
    told = [task.samples(draw) for draw in range(8)]
    assert told == task.batch(range(8)).lengths.tolist()
    assert len(set(told)) > 1
    assert encoder.grid.n_samples(encoder.grid.n_frames(max(told))) == max(told) < 0.8 * 16_000
