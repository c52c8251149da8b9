"""What `import mixframe` gives: few names, no import cost, and what each does."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import mixframe
from mixframe.audio.frames import FrameGrid
from mixframe.audio.splicing.arrays import WAV2VEC2
from mixframe.audio.splicing.rendering import render
from mixframe.base.errors import MixframeError
from mixframe.metrics import bootstrap
from mixframe.metrics.detection import DcfCosts
from mixframe.metrics.registry import EER
from mixframe.models.building import VALUES
from mixframe.models.heads import HEADS
from tests.conftest import tone

PRESETS = Path(__file__).parents[1] / "presets"
PATTERN = {"name": "regions", "max_regions": 2, "min_frames": 2, "max_frames": 9, "max_ratio": 0.5}


def test_importing_the_package_imports_nothing_large():
    code = "import sys, mixframe; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "pandas", "pydantic"} & set(ran.stdout.split())


def test_every_public_name_is_where_it_says():
    assert len(mixframe.__all__) <= 12
    assert set(mixframe._HOMES) == set(mixframe.__all__)
    assert set(mixframe.__all__) <= set(dir(mixframe))
    for name, home in mixframe._HOMES.items():
        own = getattr(import_module(f"mixframe.{home}"), name)
        assert getattr(mixframe, name) is own
        assert own.__doc__


def test_other_names_are_no_attributes_and_rooms_are():
    with pytest.raises(AttributeError, match="'mixframe' has no attribute 'splicer'"):
        _ = mixframe.splicer
    from mixframe import models

    assert models.__name__ == "mixframe.models"


@settings(max_examples=40, deadline=None)
@given(st.integers(3000, 9000), st.integers(4000, 9000), st.integers(0, 10**6))
def test_a_splice_by_pattern(n_base, n_injector, seed):
    base, injector = tone(n_base, 1), tone(n_injector, 2)
    wave, labels = mixframe.splice(base, injector, pattern=PATTERN, seed=seed)
    assert wave.dtype == np.float32
    assert labels.dtype == np.int8
    assert wave.shape == base.shape
    assert labels.shape == (WAV2VEC2.n_frames(n_base),)
    changed = np.flatnonzero(wave != base)
    assert labels.any() == (changed.size > 0)
    if changed.size:
        frames = np.flatnonzero(labels)
        assert frames[0] * 320 <= changed[0] + 320
        assert changed[-1] < (frames[-1] + 2) * 320
    again = mixframe.splice(base, injector, pattern=PATTERN, seed=seed)
    assert np.array_equal(wave, again[0])


def test_a_splice_at_given_regions():
    base, injector = tone(8000, 1), tone(8000, 2)
    regions = [(320, 1600), (3200, 4800)]
    wave, labels = mixframe.splice(base, injector, regions=regions, crossfade=0, max_gain_db=0)
    assert np.array_equal(labels, WAV2VEC2.labels(regions, 8000))
    windows = np.lib.stride_tricks.sliding_window_view(injector, 1280)
    assert (windows == wave[320:1600]).all(axis=1).any()
    assert np.array_equal(wave[1600:3200], base[1600:3200])
    assert np.array_equal(wave[4800:], base[4800:])


def test_options_of_a_splice_change_it():
    base, injector = tone(8000, 1), 4 * tone(8000, 2)
    plain = {"regions": [(1000, 5000)], "crossfade": 0, "max_gain_db": 0.0}
    wave, labels = mixframe.splice(base, injector, **plain)
    for change in ({"seed": 1}, {"crossfade": 80}, {"max_gain_db": 20.0}):
        assert not np.array_equal(wave, mixframe.splice(base, injector, **{**plain, **change})[0])
    other = FrameGrid((400,), (160,))
    finer = mixframe.splice(base, injector, **plain, grid=other)[1]
    assert len(finer) == other.n_frames(8000) > len(labels)
    faded = mixframe.splice(base, injector, **{**plain, "crossfade": 80})[0]
    part = wave[1000:5000]
    assert np.array_equal(faded, render(base, [part], [(1000, 5000)], 80, 0.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either regions or pattern"),
        ({"regions": [(0, 9)], "pattern": PATTERN}, "either regions or pattern"),
        ({"regions": [(5, 5)]}, r"region \[5, 5\) of 8000 samples"),
        ({"regions": [(0, 20), (10, 30)]}, r"region \[10, 30\)"),
        ({"regions": [(7000, 9000)]}, r"region \[7000, 9000\)"),
        ({"regions": [(0, 6000)]}, "the injector has 5000 samples"),
        ({"pattern": {"name": "zigzag"}}, "pattern"),
        ({"pattern": {**PATTERN, "max_ratio": 2.0}}, "max_ratio"),
    ],
)
def test_a_splice_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(MixframeError, match=f"splice: .*{message}"):
        mixframe.splice(tone(8000, 1), tone(5000, 2), **arguments)


def test_samples_that_are_none_are_refused():
    for bad in (np.zeros(8000, dtype=np.int16), np.zeros((2, 8000))):
        with pytest.raises(MixframeError, match=r"expected \(n,\) floating"):
            mixframe.splice(bad, tone(8000, 1), regions=[(0, 100)])


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_makes_two_logits(kind):
    one = mixframe.head(kind, 24, 3)
    layers = [torch.randn(2, 30, 24) for _ in range(4)]
    mask = torch.ones(2, 30, dtype=torch.bool)
    assert one(layers, mask).shape == (2, 2)


def test_keys_of_a_head_are_taken_or_refused():
    def size(**values):
        return sum(p.numel() for p in mixframe.head("conformer_fgfm", 24, **values).parameters())

    assert size(dim=16) < size()
    with pytest.raises(MixframeError, match="expected one of pooled"):
        mixframe.head("fgfm", 24)
    with pytest.raises(MixframeError, match="colour = 1: unknown key"):
        mixframe.head("pooled", 24, colour=1)


@pytest.mark.parametrize(
    ("preset", "kind"),
    [
        ("asvspoof2019la_mfpt", "pooled"),
        ("asvspoof2019la_conformer", "conformer"),
        ("asvspoof2019la_conformer", "transformer"),
        ("asvspoof2019la_fgfm", "conformer_fgfm"),
        ("asvspoof2019la_fgfm", "transformer_fgfm"),
    ],
)
def test_values_of_a_head_are_those_of_its_preset(preset, kind):
    systems = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())["finetune"].values()
    sections = [s["head"] for s in systems if s.get("head", {}).get("kind") == kind]
    assert {"kind": kind, **VALUES[kind]} in sections


def test_an_interval_is_that_of_the_bootstrap():
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(1, 1, 50), rng.normal(0, 1, 80)
    groups = rng.integers(0, 9, 50), rng.integers(0, 9, 80)
    for given_groups, unit in ((None, "trial"), (groups, "speaker")):
        interval = mixframe.eer_interval(
            bonafide, spoof, groups=given_groups, level=0.9, resamples=40, seed=3
        )
        how = bootstrap.Settings(DcfCosts(0.5, 1, 1), unit, 40, 0.9, 3)
        pairs = {"": [(bonafide, spoof)]}
        values = bootstrap.resample(pairs, [EER], how, given_groups)[""]["eer"]
        assert interval == (mixframe.eer(bonafide, spoof), *bootstrap.interval(values, 0.9))
        assert interval.low < interval.eer < interval.high
