"""Attacks on a set: who is changed, any number of threads, and the section that names them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.yamlfiles import read_yaml
from mixframe.experiment.params import validate_preset
from mixframe.metrics import robustness
from mixframe.metrics.bootstrap import Settings
from mixframe.metrics.detection import DcfCosts
from mixframe.stages.attack import attacked
from mixframe.training.adversarial import AnyAttack
from mixframe.training.runner import Runner
from tests.conftest import tone

ROOT = Path(__file__).parents[1]
SECTION = {
    "kind": "pgd",
    "target": "spoof",
    "ball": {"norm": "snr", "snr_db": 30.0},
    "expectation": {"draws": 2, "shift_ms": 1.0, "gain_db": 3.0, "noise_db": 30.0},
    "steps": 2,
    "step": 0.5,
    "starts": 2,
}


def bent(waves):
    return torch.stack([torch.sin(30 * w[::3].sum()) + w.square().sum() for w in waves])


def test_threads_batches_and_order_change_nothing_and_others_stay_as_they_are():
    section = TypeAdapter(AnyAttack).validate_python(SECTION)
    waves = [np.rint(tone(300 + 7 * i, i) * 32768).astype(np.float32) / 32768 for i in range(7)]
    labels = ["spoof", "bonafide", "spoof", "spoof", "bonafide", "spoof", "spoof"]
    made = {}
    for threads, batch, order in ((1, 3, range(7)), (2, 3, range(7)), (1, 2, range(6, -1, -1))):
        compute = Compute(
            device="cpu",
            processes=1,
            threads=threads,
            workers=1,
            keep_utterances=0,
            isa="pinned",
        )
        given = [[values[i] for i in order] for values in (waves, labels, range(7))]
        out = attacked(bent, Runner(compute), given[0], given[1], section, given[2], batch)
        made[threads, batch] = [out[list(order).index(i)] for i in range(7)]
    first, *others = made.values()
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    changed = [not np.array_equal(a, b) for a, b in zip(first, waves, strict=True)]
    assert changed == [label == "spoof" for label in labels]


def test_conditions_apart_are_told_but_are_in_no_mean_and_nobodys_worst():
    rng = np.random.default_rng(0)
    label = np.where(np.arange(80) % 2, "bonafide", "spoof")

    def scored(distance):
        score = rng.standard_normal(80) + distance * (label == "bonafide")
        return [pd.DataFrame({"trial": np.arange(80).astype(str), "label": label, "score": score})]

    conditions = {"clean": scored(3.0), "noise": scored(2.0), "pgd": scored(-2.0)}
    systems = {"a": conditions, "b": conditions}
    costs = DcfCosts(p_spoof=0.05, c_miss=1.0, c_fa=10.0)
    how = Settings(costs, "trial", resamples=50, level=0.95, seed=1)
    fitted = {"a": [None], "b": [None]}
    made = robustness.evaluate(systems, "clean", fitted, how, ["pgd"])
    assert made["counted"] == ["noise"]
    of_a = made["conditions"]["a"]
    assert of_a["pgd"]["eer"] > 0.5 > of_a["noise"]["eer"]
    assert of_a["pgd"]["change"]["difference"] > 0.5
    assert made["systems"]["a"]["worst"]["condition"] == "noise"
    assert made["systems"]["a"]["mean"]["eer"] == of_a["noise"]["eer"]
    together = robustness.evaluate(systems, "clean", fitted, how)
    assert together["counted"] == ["noise", "pgd"]
    assert together["systems"]["a"]["worst"]["condition"] == "pgd"


@pytest.mark.parametrize(
    ("name", "made_on", "words"),
    [
        ("white_snr0", "itself", "adversarial.white_snr0: the name of another condition"),
        ("clean", "itself", "adversarial.clean: the name of another condition"),
        ("mine", "nobody", "adversarial.mine.made_on = 'nobody': expected one of itself, lfcc"),
    ],
)
def test_a_name_that_is_taken_or_unknown_is_refused(name, made_on, words):
    values = read_yaml(ROOT / "presets" / "smoke.yaml")
    values["robustness"]["adversarial"][name] = {"made_on": made_on, "attack": SECTION}
    with pytest.raises(MixframeError, match=words):
        validate_preset(values, Path("presets/smoke.yaml"), ROOT)
