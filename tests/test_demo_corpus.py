"""The demo corpus from small made-up voices: same bytes always, nothing held out twice, no leak."""

import copy
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixframe.audio import manifest
from mixframe.audio.frames import FrameGrid
from mixframe.audio.io import SAMPLE_RATE, AudioRef, TarWriter, read, tar_writer
from mixframe.base.errors import MixframeError
from mixframe.base.schema import validate
from mixframe.base.yamlfiles import read_yaml
from mixframe.corpora.demo import corpus, signal
from mixframe.corpora.demo.attacks import ATTACKS
from mixframe.corpora.demo.attacks.context import Context

PRESET = read_yaml(Path(__file__).parents[1] / "presets" / "demo.yaml")
VOICES = {
    "first": {"speaker": "Ann", "language": "en-us", "side": "seen"},
    "second": {"speaker": "Bea", "language": "fr", "side": "seen"},
    "third": {"speaker": "Cid", "language": "it", "side": "unseen"},
}
PITCH = {"first": 190.0, "second": 230.0, "third": 120.0}
SIZES = {
    "train": {"share": 0.4, "bonafide": 6, "spoof_per_attack": 2},
    "dev": {"share": 0.3, "bonafide": 4, "spoof_per_attack": 2},
    "eval_seen": {"share": 0.3, "bonafide": 4, "spoof_per_attack": 1},
    "eval_unseen": {"share": 0.5, "bonafide": 4, "spoof_per_attack": 1},
    "eval_partial": {"share": 0.5, "bonafide": 4, "spoof_per_attack": 2},
}


def section(**changes: Any) -> dict[str, Any]:
    """The demo preset's section at the size of the made-up voices."""
    value = copy.deepcopy(PRESET["protocol"]["corpora"]["demo"])
    value |= {"voices": VOICES, "sets": SIZES, "max_unreadable": 1}
    value |= {"attacks_train": ["world", "lpc"], "attacks_eval": ["world", "lpc", "vc", "psola"]}
    value["partial"]["attacks"] = ["world", "psola"]
    return value | changes


def params(**changes: Any) -> corpus.Protocol:
    return validate(corpus.Protocol, section(**changes), "test")


def speech(voice: str, seconds: float, seed: int) -> np.ndarray:
    """Harmonics under slow random loudness, as 16-bit samples between short silences."""
    rng = np.random.default_rng([seed, len(voice)])
    size = int(seconds * SAMPLE_RATE)
    times = np.arange(size) / SAMPLE_RATE
    pitch = PITCH[voice] * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * times))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    wave = np.zeros(size)
    for harmonic in range(1, 25):
        wave += np.sin(harmonic * phase) / harmonic
    knots = np.linspace(0, seconds, int(seconds * 5) + 2)
    wave *= np.interp(times, knots, rng.uniform(0.3, 1, knots.size))
    wave += 0.02 * rng.standard_normal(size)
    silence = np.zeros(SAMPLE_RATE // 5)
    return np.concatenate((silence, 4000 * wave, silence)).astype(np.int16)


def write_voices(folder: Path, **extra: bytes) -> dict[str, Any]:
    """Write a tar for each voice and return the entry of download.json."""
    for number, voice in enumerate(VOICES):
        members = {
            f"{voice}/p{i:02d}.g722": signal.encode_g722(
                speech(voice, 1.2 + 0.1 * i, 100 * number + i)
            )
            for i in range(10)
        }
        parts = [speech(voice, 2.5, 100 * number + 50 + i) for i in range(3)]
        members[f"{voice}/long.g722"] = signal.encode_g722(np.concatenate(parts))
        members[f"{voice}/silence/1.g722"] = signal.encode_g722(np.zeros(32_000, np.int16))
        if voice == "third":
            members[f"{voice}/again.g722"] = members[f"{voice}/p03.g722"]
            members |= {f"{voice}/{name}.g722": data for name, data in extra.items()}
        with tar_writer(folder / f"{voice}.tar") as tar:
            for name in sorted(members):
                tar.add(name, members[name])
    return {"files": [{"path": str(folder / f"{voice}.tar")} for voice in VOICES]}


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_voices(tmp_path_factory.mktemp("voices"), empty=b"")


def build(
    folder: Path, entry: dict[str, Any], workers: int, **changes: Any
) -> tuple[pd.DataFrame, bytes]:
    folder.mkdir()
    # The manifest names the tar by the name it will have, not by where it is written.
    path = folder / "audio.tar"
    tar = TarWriter(path, "audio.tar")
    table = corpus.protocol(params(**changes), 1, entry, tar, workers)
    tar.close()
    return table, path.read_bytes()


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, entry: dict[str, Any]
) -> tuple[pd.DataFrame, Path]:
    folder = tmp_path_factory.mktemp("built")
    table, _ = build(folder / "two", entry, workers=2)
    return table, folder / "two" / "audio.tar"


def test_one_worker_makes_the_same_bytes_as_two(
    tmp_path: Path, entry: dict[str, Any], built: tuple[pd.DataFrame, Path]
) -> None:
    table, data = build(tmp_path / "one", entry, workers=1)
    pd.testing.assert_frame_equal(table, built[0])
    assert data == built[1].read_bytes()


def test_sets_have_the_sizes_and_attacks_of_the_preset(
    built: tuple[pd.DataFrame, Path],
) -> None:
    table = manifest.check(built[0], "test")
    counts = table.groupby(["set", "attack"]).size()
    for name, size in SIZES.items():
        attacks = params().attack_names(name)
        expected = {"-": size["bonafide"]} | dict.fromkeys(attacks, size["spoof_per_attack"])
        assert counts[name].to_dict() == expected
    assert (table["label"] == "bonafide").equals(table["attack"] == "-")
    assert table["utterance"].str.fullmatch(r"D_[TDSUP]_\d{7}").all()
    sides = table["voice"].map(lambda v: VOICES[v]["side"])
    side_of = {name: side for side, names in corpus.SIDES.items() for name in names}
    assert (sides == table["set"].map(side_of)).all()
    assert set(table["speaker"]) == {"Ann", "Bea", "Cid"}


def test_no_prompt_is_in_two_sets(built: tuple[pd.DataFrame, Path]) -> None:
    table = built[0]
    assert table.groupby("prompt")["set"].nunique().max() == 1
    # The same path in two voices is the same text, and stays on one side too.
    seen = table[table["voice"] != "third"]
    paths = seen["prompt"].str.split("/", n=1).str[1]
    assert seen.groupby(paths)["set"].nunique().max() == 1


def test_what_is_no_speech_is_left_out_and_listed(built: tuple[pd.DataFrame, Path]) -> None:
    table = built[0]
    assert table.attrs["unreadable"] == ["third/empty: no samples"]
    assert table.attrs["dropped"]["duplicate"] == 1
    assert not table["prompt"].str.contains("silence").any()
    assert "third/p03" not in set(table["prompt"]) or "third/again" not in set(table["prompt"])


def test_every_utterance_is_level_finite_and_as_long_as_the_manifest_says(
    built: tuple[pd.DataFrame, Path],
) -> None:
    table, tar = built
    chain = params().chain
    for row in table.itertuples():
        wave = read(AudioRef(str(tar), row.offset, row.n_bytes))
        assert wave.size == row.samples
        rms = 20 * np.log10(np.std(wave))
        assert chain.level_dbfs[0] - 1.5 < rms < chain.level_dbfs[1] + 1.5
        frames = wave[: wave.size // 160 * 160].reshape(-1, 160)
        assert np.abs(frames).max(axis=1).min() > 0, "digital silence"
    with tarfile.open(tar) as archive:
        assert archive.getnames() == [f"flac/{u}.flac" for u in table["utterance"]]


def test_regions_are_there_for_partial_spoofs_alone_and_keep_the_limits(
    built: tuple[pd.DataFrame, Path],
) -> None:
    table = built[0]
    partial = params().partial
    spliced = (table["set"] == "eval_partial") & (table["label"] == "spoof")
    assert (table["regions"].map(len) > 0).equals(spliced)
    for row in table[spliced].itertuples():
        regions = manifest.pairs(row.regions)
        edges = [edge for region in regions for edge in region]
        assert edges == sorted(set(edges))
        assert 0 <= edges[0] <= edges[-1] <= row.samples
        assert all(edge % partial.align_samples == 0 for edge in edges)
        share = sum(e - s for s, e in regions) / row.samples
        step = partial.align_samples / row.samples
        assert partial.ratio[0] - step <= share <= partial.ratio[1] + step
        grid = FrameGrid((400,), (320,))
        assert grid.labels(regions, row.samples).sum() >= partial.min_region_steps - 1


def test_a_partly_spoofed_training_set_is_of_train_and_changes_no_other_set(
    tmp_path: Path, entry: dict[str, Any], built: tuple[pd.DataFrame, Path]
) -> None:
    size = {"bonafide": 4, "spoof_per_attack": 3}
    table, data = build(tmp_path / "more", entry, 2, sets=SIZES | {"train_partial": size})
    inside = table["set"] == "train_partial"
    pd.testing.assert_frame_equal(table[~inside], built[0])
    # Behind its members a tar ends in zeros.
    assert data.startswith(built[1].read_bytes().rstrip(b"\0"))
    partial = table[inside]
    attacks = dict.fromkeys(params().attack_names("train"), size["spoof_per_attack"])
    assert partial["attack"].value_counts().to_dict() == {"-": size["bonafide"], **attacks}
    assert set(partial["prompt"]) <= set(table.loc[table["set"] == "train", "prompt"])
    assert (partial["regions"].map(len) > 0).equals(partial["label"] == "spoof")
    for row in partial[partial["label"] == "spoof"].itertuples():
        assert row.regions[-1] - row.regions[0] < row.samples
        assert sum(e - s for s, e in manifest.pairs(row.regions)) < row.samples / 2


def piece_of(entry: dict[str, Any], voice: str, name: str) -> corpus.Piece:
    path = str(Path(entry["files"][list(VOICES).index(voice)]["path"]))
    with tarfile.open(path) as archive:
        member = archive.getmember(f"{voice}/{name}.g722")
    source = AudioRef(path, member.offset_data, member.size)
    return corpus.Piece(voice, name, source, 1600, 2 * member.size - 1600)


@pytest.mark.parametrize("g722", [False, True])
@pytest.mark.parametrize("source", ["same", "other"])
def test_regions_are_where_the_finished_utterance_differs(
    entry: dict[str, Any], g722: bool, source: str
) -> None:
    value = section()
    value["chain"] |= {"g722": g722, "dither_dbfs": [-90.0, -90.0], "max_crest_db": [40.0, 40.0]}
    value["partial"] |= {"crossfade_samples": 0, "source": source}
    chosen = validate(corpus.Protocol, value, "test")
    piece = piece_of(entry, "third", "p09")
    other = piece_of(entry, "third", "p05") if source == "other" else None

    def finished(attack: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        job = corpus.Job(
            "D_P_0000000", "eval_partial", attack, piece, Context("it"), attack != "-", other
        )
        made = corpus.make(chosen, 1, job)
        path = entry_folder / f"{attack}.flac"
        path.write_bytes(made.flac)
        return read(AudioRef(str(path))).astype(float), manifest.pairs(made.regions)

    entry_folder = Path(entry["files"][0]["path"]).parent
    clean, _ = finished("-")
    spliced, regions = finished("world")
    assert clean.size == spliced.size
    inside = np.zeros(clean.size, dtype=bool)
    for start, end in regions:
        inside[start:end] = True
    # Levelling the whole utterance scales the untouched part by a constant.
    scale = clean[~inside] @ spliced[~inside] / (clean[~inside] @ clean[~inside])
    error = np.square(spliced - scale * clean)
    assert error[inside].mean() > 20 * error[~inside].mean()
    for start, end in regions:
        near = error[max(0, start - 40) : start].mean() + error[end : end + 40].mean()
        assert error[start:end].mean() > 5 * near


def test_codec_delay_is_taken_back() -> None:
    for size in (5000, 5001):
        wave = (2000 * np.random.default_rng(0).standard_normal(size)).astype(np.int16)
        out = signal.through_g722(wave)
        assert out.size == size
        wanted = wave[100:-100].astype(float)
        error = {k: np.square(np.roll(out, k)[100:-100] - wanted).mean() for k in range(-30, 31)}
        assert min(error, key=error.__getitem__) == 0
        assert error[0] < 0.1 * np.square(wanted).mean()


def test_filter_has_no_delay_and_keeps_the_band() -> None:
    chain = params().chain
    times = np.arange(16_000) / SAMPLE_RATE
    inside, below, above = (np.sin(2 * np.pi * f * times) for f in (1000, 20, 7900))
    kept = signal.band_limit(inside, chain)
    np.testing.assert_allclose(kept[1000:-1000], inside[1000:-1000], atol=0.01)
    for outside in (below, above):
        middle = signal.band_limit(outside, chain)[4000:12_000]
        assert np.abs(middle).max() < 0.2


def test_trim_leaves_the_drawn_margin_and_stops_at_the_ends() -> None:
    value = section()
    value["chain"]["margin_ms"] = [20.0, 20.0]
    chain = validate(corpus.Protocol, value, "test").chain
    wave = np.concatenate((np.zeros(1600), np.ones(8000), np.zeros(160)))
    assert signal.trim(wave, chain, np.random.default_rng(0)) == (1280, 9760)


def test_long_speech_is_cut_in_the_middle_of_its_longest_pause() -> None:
    pieces = params().pieces
    parts = [np.ones(3 * SAMPLE_RATE), np.zeros(3200), np.ones(3 * SAMPLE_RATE)]
    intervals, lost = signal.cut(np.concatenate(parts), pieces)
    assert intervals == [(0, 48_000 + 1600), (48_000 + 1600, 99_200)]
    assert not lost


def test_speech_without_a_pause_or_too_short_is_dropped_by_reason() -> None:
    pieces = params().pieces
    assert signal.cut(np.ones(6 * SAMPLE_RATE), pieces) == (
        [],
        {"too long, without a pause": 1},
    )
    assert signal.cut(np.ones(SAMPLE_RATE // 2), pieces) == ([], {"too short": 1})
    assert signal.cut(np.ones(10), pieces) == ([], {"too short": 1})


@given(
    seed=st.integers(0, 2**32),
    n_samples=st.integers(1600, 70_000),
    ratio=st.tuples(st.floats(0.01, 0.9), st.floats(0.01, 0.9)).map(sorted),
    max_regions=st.integers(1, 4),
)
def test_drawn_regions_are_disjoint_aligned_and_inside(
    seed: int, n_samples: int, ratio: list[float], max_regions: int
) -> None:
    partial = params().partial.model_copy(update={"ratio": ratio, "max_regions": max_regions})
    rng = np.random.default_rng(seed)
    regions = signal.draw_regions(rng.standard_normal(n_samples), partial, rng)
    edges = [edge for region in regions for edge in region]
    assert 1 <= len(regions) <= max_regions
    assert edges == sorted(set(edges))
    assert 0 <= edges[0] < edges[-1] <= n_samples
    assert all(edge % 320 == 0 for edge in edges)
    assert all(e - s >= 320 * partial.min_region_steps for s, e in regions)
    total = sum(e - s for s, e in regions)
    wanted = np.clip(total, ratio[0] * n_samples - 640, ratio[1] * n_samples + 320)
    assert total == wanted or total == 320 * partial.min_region_steps


def test_utterance_too_short_for_a_region_is_refused() -> None:
    with pytest.raises(MixframeError, match="too short for a region of 1600"):
        signal.draw_regions(np.ones(1500), params().partial, np.random.default_rng(0))


def test_unreadable_prompts_are_named_all_at_once(tmp_path: Path) -> None:
    bad = write_voices(tmp_path, empty=b"", void=b"")
    with pytest.raises(MixframeError) as error:
        build(tmp_path / "out", bad, workers=1)
    message = str(error.value)
    assert "2 prompts are unreadable, max_unreadable allows 1" in message
    assert "third/empty: no samples" in message
    assert "third/void: no samples" in message


def test_failing_attack_is_named_with_its_utterance(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ATTACKS["world"], "synthesise", lambda *_: np.full(10, np.nan))
    piece = piece_of(entry, "third", "p01")
    job = corpus.Job("D_U_0000003", "eval_unseen", "world", piece, Context("it"))
    said = "D_U_0000003 from third/p01: attack 'world' gave 10 samples, 10 of them not finite"
    with pytest.raises(MixframeError, match=said):
        corpus.make(params(), 1, job)


def test_absent_voice_and_too_small_corpus_are_refused(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    with pytest.raises(MixframeError, match="without a downloaded tar: third"):
        build(tmp_path / "absent", {"files": entry["files"][:2]}, workers=1)
    sizes = SIZES | {"dev": {"share": 0.3, "bonafide": 900, "spoof_per_attack": 1}}
    with pytest.raises(MixframeError, match=r"sets.dev.bonafide = 900, but the set has \d+ pieces"):
        build(tmp_path / "small", entry, workers=1, sets=sizes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attacks_train": ["wold"]}, "attacks_train.*unknown attack 'wold'; choices: world"),
        ({"attacks_eval": ["lpc", "lpc"]}, "'lpc' is named twice"),
        (
            {"sets": SIZES | {"dev": SIZES["dev"] | {"share": 0.4}}},
            "shares of train, dev, eval_seen add up to 1.1, not 1",
        ),
        ({"chain": {"highpass_hz": 80.0}}, "chain.margin_ms: missing"),
        ({"attacks": {}}, "no parameters of world, lpc, vc, psola under attacks"),
        ({"attacks": {"wold": {}}}, "attacks.wold = .*unknown key"),
        ({"attacks": {"world": {}}}, "attacks.world.f0_method: missing"),
    ],
)
def test_bad_parameters_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MixframeError, match=said):
        params(**changes)


def test_bad_range_is_named() -> None:
    value = section()
    value["chain"]["level_dbfs"] = [-20.0, -30.0]
    with pytest.raises(MixframeError, match=r"chain.level_dbfs.*the smaller one first"):
        validate(corpus.Protocol, value, "test")


def test_generators_depend_on_seed_and_names_alone() -> None:
    def first(*key: Any) -> int:
        return int(corpus.generator(*key).integers(2**62))

    assert first(1, "a") == first(1, "a")
    assert len({first(1, "a"), first(2, "a"), first(1, "b"), first(1, "a", "b")}) == 4
    # A value that must hold on every machine: sha256("a") starts with ca978112ca1bbdca.
    assert corpus.stable_hash("a") == 0xCA978112CA1BBDCA
