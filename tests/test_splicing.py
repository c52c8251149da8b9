"""Plans follow their policy; what is rendered from a plan carries the labels of the plan."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid
from mixframe.audio.io import AudioRef, read
from mixframe.audio.splicing import planning, rendering
from mixframe.audio.splicing.params import Splice
from mixframe.audio.splicing.patterns import PATTERNS
from mixframe.base.errors import MixframeError

GRID = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
LIMITS = {"max_regions": 3, "min_frames": 2, "max_frames": 12, "max_ratio": 0.5}
POLICY = Splice(
    set="train",
    base="bonafide",
    injector="spoof",
    speaker="same",
    copies=2,
    clean_share=0.0,
    max_seconds=2.0,
    crossfade=80,
    match_gain=True,
    max_gain_db=20.0,
    pattern=PATTERNS["regions"](name="regions", **LIMITS),
)


def policy(**changes):
    return POLICY.model_copy(update=changes)


def table_of(lengths, speakers=3):
    n = len(lengths)
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(n)],
            "set": "train",
            "label": ["bonafide" if i % 2 else "spoof" for i in range(n)],
            "speaker": [f"s{i // 2 % speakers}" for i in range(n)],
            "samples": lengths,
        }
    )


@given(
    lengths=st.lists(st.integers(400, 40_000), min_size=4, max_size=20),
    seed=st.integers(0, 1000),
    pattern=st.sampled_from(["regions", "short", "long", "periodic", "boundary", "side"]),
    speaker=st.sampled_from(["same", "different", "any"]),
    injector=st.sampled_from(["bonafide", "spoof", "any"]),
)
@settings(max_examples=60, deadline=None)
def test_every_row_can_be_rendered_and_gives_its_labels_back(
    lengths, seed, pattern, speaker, injector
):
    table = table_of(lengths)
    samples = dict(zip(table["utterance"], table["samples"], strict=True))
    label = dict(zip(table["utterance"], table["label"], strict=True))
    wanted = policy(
        speaker=speaker,
        injector=injector,
        pattern=PATTERNS[pattern](name=pattern, **LIMITS),
    )
    planned = planning.plan(table, wanted, GRID, seed)
    assert len(planned) == 2 * (table["label"] == "bonafide").sum()
    where = {u: AudioRef(u) for u in samples}
    for row, recipe in zip(planned.itertuples(), rendering.recipes(planned, where), strict=True):
        assert row.base != row.injector
        assert row.base_start + row.n_samples <= samples[row.base]
        for start, end, source in zip(row.starts, row.ends, row.sources, strict=True):
            assert label[row.injector] == injector or injector == "any"
            assert 0 <= start < end <= row.n_samples
            assert 0 <= source <= samples[row.injector] - (end - start)

        def marked(ref, first, n, base=row.base):
            # The base is 0 everywhere and the injector 1, so the waveform shows what came whence.
            return np.full(n, float(ref.path != base), dtype=np.float32)

        wave, labels = rendering.load(replace(recipe, crossfade=0, gain_db=0.0), GRID, marked)
        frames = [wave[t * 320 : t * 320 + 400].mean() for t in range(len(labels))]
        assert labels.tolist() == [int(share >= 0.5) for share in frames]


def test_a_row_depends_on_its_base_and_not_on_the_others():
    table = table_of([16_000] * 40)
    planned = planning.plan(table, policy(speaker="any", injector="spoof"), GRID, 7)
    fewer = table[~((table["label"] == "bonafide") & (table.index > 19))]
    again = planning.plan(fewer, policy(speaker="any", injector="spoof"), GRID, 7)
    both = planned[planned["base"].isin(again["base"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(both, again)
    other = planning.plan(table, policy(), GRID, 8)
    assert (other["injector"] != planned["injector"]).any()


@pytest.mark.parametrize("speaker", ["same", "different"])
def test_the_speaker_wish_is_met_where_it_can_be(speaker):
    table = table_of([16_000] * 60)
    who = dict(zip(table["utterance"], table["speaker"], strict=True))
    planned = planning.plan(table, policy(speaker=speaker), GRID, 0)
    spliced = planned[planned["injector"] != ""]
    same = [who[b] == who[i] for b, i in zip(spliced["base"], spliced["injector"], strict=True)]
    assert len(spliced) > 50
    assert all(same) if speaker == "same" else not any(same)


def test_a_speaker_alone_gets_another_ones_injector():
    table = table_of([16_000, 16_000, 16_000, 16_000], speakers=2)
    table.loc[0, "speaker"] = "someone"
    planned = planning.plan(table, policy(), GRID, 0)
    assert (planned["injector"] != "").all()


def test_clean_rows_have_no_region_and_come_at_their_share():
    planned = planning.plan(table_of([32_000] * 800), policy(clean_share=0.25), GRID, 0)
    clean = planned["injector"] == ""
    assert clean.mean() == pytest.approx(0.25, abs=0.05)
    assert all(len(s) == 0 for s in planned.loc[clean, "starts"])
    assert all(len(s) > 0 for s in planned.loc[~clean, "starts"])


def test_an_injector_is_long_enough_or_the_row_stays_clean():
    table = table_of([500, 32_000] * 5)
    assert (planning.plan(table, policy(), GRID, 0)["injector"] == "").all()


def test_missing_roles_are_named():
    table = table_of([16_000] * 6)
    with pytest.raises(MixframeError, match="'train' has no utterance for injector = spoof"):
        planning.plan(table[table["label"] == "bonafide"], policy(), GRID, 0)
    with pytest.raises(MixframeError, match="'dev' has no utterance for base = bonafide"):
        planning.plan(table, policy(set="dev"), GRID, 0)


def test_a_plan_survives_its_file(tmp_path):
    planned = planning.plan(table_of([16_000] * 10), policy(), GRID, 0)
    planning.write_plan(planned, tmp_path / "plan.parquet")
    restored = planning.read_plan(tmp_path / "plan.parquet")
    as_text = [
        json.dumps([[list(map(int, c)) for c in (r.starts, r.ends, r.sources)]])
        for r in restored.itertuples()
    ]
    assert as_text == [json.dumps([[r.starts, r.ends, r.sources]]) for r in planned.itertuples()]
    planning.write_plan(planned, tmp_path / "again.parquet")
    assert (tmp_path / "plan.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_a_plan_of_another_manifest_is_refused():
    planned = planning.plan(table_of([16_000] * 4), policy(), GRID, 0)
    with pytest.raises(MixframeError, match=r"names \d utterances that the manifest lacks"):
        rendering.recipes(planned, {"u1": AudioRef("u1")})


waves = st.integers(0, 2**31).map(lambda s: np.random.default_rng(s).standard_normal(2000) * 0.1)


@given(
    base=waves,
    part=waves,
    start=st.integers(0, 1500),
    length=st.integers(1, 500),
    fade=st.integers(0, 300),
    gain=st.sampled_from([0.0, 20.0]),
)
def test_render_leaves_the_outside_alone_and_blends_inside(base, part, start, length, fade, gain):
    base, part = base.astype(np.float32), part.astype(np.float32)[:length]
    out = rendering.render(base, [part], [(start, start + length)], fade, gain)
    outside = np.ones(2000, dtype=bool)
    outside[start : start + length] = False
    assert np.array_equal(out[outside], base[outside])
    factor = 1.0
    if gain:
        factor = np.sqrt(np.mean(base[start : start + length] ** 2) / np.mean(part**2))
        factor = np.clip(factor, 0.1, 10)
    low = np.minimum(base[start : start + length], part * factor) - 1e-6
    high = np.maximum(base[start : start + length], part * factor) + 1e-6
    inside = out[start : start + length]
    assert ((inside >= low) & (inside <= high)).all()
    plateau = slice(min(fade, length // 2), length - min(fade, length // 2))
    assert inside[plateau] == pytest.approx((part * factor)[plateau], rel=1e-4, abs=1e-6)


def test_crossfade_by_hand():
    out = rendering.render(
        np.zeros(8, np.float32), [np.ones(6, np.float32)], [(1, 7)], crossfade=2, gain_db=0.0
    )
    assert out.tolist() == [0, 0.25, 0.75, 1, 1, 0.75, 0.25, 0]


def test_gain_is_limited_and_silence_is_left_alone():
    loud, quiet = np.full(100, 1.0, np.float32), np.full(100, 1e-3, np.float32)
    out = rendering.render(loud, [quiet], [(0, 100)], 0, gain_db=20.0)
    assert out == pytest.approx(1e-2)
    silent = np.zeros(100, np.float32)
    assert np.array_equal(rendering.render(loud, [silent], [(0, 100)], 0, 20.0), silent)
    assert np.array_equal(rendering.render(silent, [quiet], [(0, 100)], 0, 20.0), quiet)


def test_rendering_reads_only_the_injected_samples(make_manifest):
    table = make_manifest({"train": 6})
    planned = planning.plan(table, policy(), GRID, 3)
    where = dict(zip(table["utterance"], manifest.refs(table), strict=True))
    asked = []

    def spy(ref, start, n):
        asked.append(n)
        return read(ref, start, n)

    for recipe in rendering.recipes(planned, where):
        asked.clear()
        wave, labels = rendering.load(recipe, GRID, spy)
        assert asked == [recipe.n_samples, *(e - s for s, e in recipe.regions)]
        assert len(wave) == recipe.n_samples
        assert labels.sum() == sum((e - s) // 320 for s, e in recipe.regions)


def test_recorded_splices_carry_the_manifests_regions(make_manifest):
    table = make_manifest({"train": 1}, seconds=(1.0, 1.0))
    table.at[0, "regions"] = [640, 1280]
    spoof, bonafide = rendering.as_recorded(table)
    _, labels = rendering.load(spoof, GRID, read)
    assert np.flatnonzero(labels).tolist() == [2, 3]
    assert rendering.load(bonafide, GRID, read)[1].sum() == 0
