"""One stage in two processes: really trained over gloo, the same curve, the same scores."""

import io

import numpy as np
import pandas as pd
import pytest

from tests.pipeline.conftest import results, run

pytestmark = pytest.mark.slow


def curve(data):
    return pd.read_csv(io.BytesIO(data)).to_numpy()


def test_two_processes_with_half_the_slices_each_train_the_same(finished):
    files = ("curves/posttrain-mfpt-1.csv", "scores/mfpt/1/frames.parquet")
    before = results(finished, *files)
    log = run(finished, "mixframe", "posttrain", "--system", "mfpt", "--processes", "2")
    assert log.count("posttrain smoke mfpt-1: done") == 1
    after = results(finished, *files)
    np.testing.assert_allclose(curve(after[files[0]]), curve(before[files[0]]), rtol=1e-4)
    old, new = (pd.read_parquet(io.BytesIO(some[files[1]])) for some in (before, after))
    assert new["utterance"].tolist() == old["utterance"].tolist()
    np.testing.assert_allclose(
        np.concatenate(new["scores"].to_numpy()),
        np.concatenate(old["scores"].to_numpy()),
        atol=1e-4,
    )


def test_sharded_scores_are_merged_to_the_same_file(finished):
    before = results(finished, "scores/lora/1/eval_partial.tsv")
    options = ("--system", "lora", "--set", "eval_partial", "--processes", "2")
    run(finished, "mixframe", "score", *options)
    assert results(finished, "scores/lora/1/eval_partial.tsv") == before


def test_what_processes_cannot_share_is_refused_once(finished):
    before = results(finished, "posttrain/mfpt/1/*")
    log = run(finished, "mixframe", "posttrain", "--system", "mfpt", "--processes", "3", ok=False)
    assert (
        log.count("posttrain.mfpt.train.slices = 2 is not a multiple of compute.processes = 3") == 1
    )
    assert "Traceback" not in log
    assert results(finished, "posttrain/mfpt/1/*") == before
