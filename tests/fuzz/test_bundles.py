"""Damaged bundles, encoders, conditions, plans and files of the Arena: used, or refused by name."""

import io
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mixframe.audio import manifest
from mixframe.audio.distortions import DISTORTIONS, planning
from mixframe.audio.distortions.conditions import READY, read_conditions
from mixframe.audio.distortions.recordings import recordings
from mixframe.audio.splicing.planning import read_plan
from mixframe.base.files import sha256_file, write_json
from mixframe.base.folders import data_root
from mixframe.bundle.analysis import Rule, analyse
from mixframe.bundle.antideepfake import convert
from mixframe.bundle.arena.core import read_arena_manifest
from mixframe.bundle.arena.submission import read_meta, read_submission
from mixframe.bundle.contents import CONTENTS, read_contents
from mixframe.bundle.detector import Detector
from mixframe.bundle.serve import application
from mixframe.bundle.writing import write_bundle
from mixframe.models import backbone as backbones
from mixframe.models.params import Encoder
from mixframe.stages.pretrain import adopt
from mixframe.stages.systems import check_card
from mixframe.training.systems.lfcc import load_mixtures
from tests import arena
from tests.bundle import test_antideepfake
from tests.bundle.build import build_project
from tests.conftest import tone
from tests.fuzz.harness import passes, tried
from tests.fuzz.mutation import HOSTILE, damaged, disturbed

ROOT = Path(__file__).parents[2]
WAVE = tone(16_000, 1)
RULE = Rule(min_region=0.0, frame_prior=0.5)
MOST = 8 * 2**30
"""Bytes of addresses beyond those that the process has: what is larger fails at once."""


@pytest.fixture(autouse=True)
def limited():
    """Make requests for absurd amounts of memory fail, whatever the machine has."""
    own = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (own + MOST, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Return the folders of bundles by the name of their system."""
    project, made = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        build_project()
        for system in ("lfcc", "lora", "frames", "mfpt_fgfm"):
            write_bundle(system, None, None, made / system, "cc-by-4.0")
    return {folder.name: folder for folder in sorted(made.iterdir())}


def judged(folder):
    """Load a bundle and judge a second with it."""
    sound = io.BytesIO()
    soundfile.write(sound, WAVE, 16_000, format="WAV")
    result, picture = analyse(Detector.load(folder, "cpu"), sound, "a.wav", RULE)
    json.loads(result.model_dump_json())
    assert len(picture.times) == len(picture.probability)


def test_the_contents_of_a_bundle(bundles, tmp_path):
    folders = st.sampled_from([bundles["lfcc"], bundles["mfpt_fgfm"]])
    values = {f: json.loads((f / CONTENTS).read_text()) for f in bundles.values()}
    texts = {f: (f / CONTENTS).read_bytes() for f in bundles.values()}
    cases = folders.flatmap(
        lambda f: st.tuples(
            st.just(f),
            damaged([texts[f]]) | disturbed(values[f]).map(lambda v: json.dumps(v, default=str)),
        )
    )
    for folder in bundles.values():
        judged(folder)

    @tried(20, cases)
    def door(case):
        source, changed = case
        folder = shutil.copytree(source, tmp_path / "bundle", dirs_exist_ok=True)
        data = changed if isinstance(changed, bytes) else changed.encode()
        (folder / CONTENTS).write_bytes(data)
        passes(lambda: judged(folder), tmp_path)
        shutil.rmtree(folder)


def test_the_files_of_a_bundle(bundles, tmp_path):
    """With the sha256 of the damaged file in bundle.json, as somebody who means harm writes it."""
    golden = [
        (folder, path.relative_to(folder), path.read_bytes())
        for folder in bundles.values()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (CONTENTS, "README.md")
    ]
    texts = [case for case in golden if case[1].suffix == ".json"]

    def changes(case):
        data = case[2]
        values = disturbed(json.loads(data)) if case in texts else st.nothing()
        return st.tuples(
            st.just(case),
            damaged([data]) | values.map(lambda v: json.dumps(v, default=str).encode()),
        )

    @tried(20, (st.sampled_from(golden) | st.sampled_from(texts)).flatmap(changes))
    def door(case):
        (source, name, _), data = case
        folder = shutil.copytree(source, tmp_path / "bundle", dirs_exist_ok=True)
        (folder / name).write_bytes(data)
        values = json.loads((folder / CONTENTS).read_text())
        values["files"][name.as_posix()] = sha256_file(folder / name)
        write_json(folder / CONTENTS, values)
        passes(lambda: judged(folder), tmp_path)
        shutil.rmtree(folder)


def tensors_like(path):
    """Draw the tensors of a file with one that is lost, renamed, or of another shape or type."""
    good = load_file(path)
    kinds = [
        lambda t: t[:0],
        lambda t: t.flatten(),
        lambda t: t[None],
        lambda t: t.to(torch.int8),
        lambda t: t.double(),
        lambda t: torch.full_like(t, float("nan")),
        lambda t: t.new_zeros(()),
    ]

    def change(name, how):
        changed = dict(good)
        tensor = changed.pop(name)
        if how == "rename":
            changed[f"{name}_"] = tensor
        elif how != "lose":
            changed[name] = kinds[how](tensor).contiguous()
        return changed

    hows = st.sampled_from(["lose", "rename", *range(len(kinds))])
    return st.builds(change, st.sampled_from(sorted(good)), hows)


def test_weights(bundles, tmp_path):
    """Tensors that are whole, but not those that belong there."""
    source = shutil.copytree(bundles["lfcc"], tmp_path / "mixtures")
    mixtures, system = source / "model.safetensors", read_contents(source).system
    encoder = shutil.copytree(bundles["mfpt_fgfm"] / "encoder", tmp_path / "encoder")

    @tried(20, tensors_like(mixtures))
    def of_mixtures(tensors):
        save_file(tensors, mixtures)
        passes(lambda: load_mixtures(source, system), tmp_path, named="model.safetensors")

    weights = encoder / "model.safetensors"

    @tried(20, tensors_like(weights))
    def of_an_encoder(tensors):
        save_file(tensors, weights)
        passes(lambda: backbones.load(encoder, Encoder(dropout=0.0)), tmp_path)


def test_a_foundation_model(bundles, tmp_path):
    """What somebody downloaded, as `pretrain: {kind: folder}` takes it."""
    source = shutil.copytree(bundles["mfpt_fgfm"] / "encoder", tmp_path / "source")
    target = tmp_path / "target"
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    golden = [(path.name, path.read_bytes()) for path in sorted(source.iterdir())]
    configs = [case for case in golden if case[0].endswith(".json")]
    cases = st.sampled_from(golden).flatmap(
        lambda case: st.tuples(st.just(case[0]), damaged([case[1]]))
    ) | st.sampled_from(configs).flatmap(
        lambda case: st.tuples(
            st.just(case[0]),
            disturbed(json.loads(case[1])).map(lambda v: json.dumps(v, default=str).encode()),
        )
    )

    @tried(20, cases)
    def door(case):
        name, data = case
        for own, good in golden:
            (source / own).write_bytes(good)
        if name == "pytorch_model.bin":
            (source / "model.safetensors").unlink()
        (source / name).write_bytes(data)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        made = frozenset({"target"})
        passes(lambda: adopt(source, target), tmp_path, made, made)


def test_an_encoder_of_antideepfake(tmp_path):
    source, model = tmp_path / "source", test_antideepfake.model_of("large")
    source.mkdir()
    path = source / "model.safetensors"
    save_file(test_antideepfake.tensors_of(model, "large"), path)

    @tried(10, tensors_like(path) | damaged([path.read_bytes()]))
    def door(content):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path)
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
        passes(lambda: convert(source, tmp_path / "made"), tmp_path, frozenset({"made"}))


def test_conditions(tmp_path):
    ready = (ROOT / READY).read_bytes()
    values = yaml.safe_load(ready)
    path = tmp_path / "conditions.yaml"
    wave = WAVE[:4000]

    def heard():
        for section in read_conditions(path).values():
            made = section.apply(wave, np.random.default_rng(0))
            assert made.dtype == np.float32
            assert made.ndim == 1

    @tried(10, damaged([ready]))
    def text(data):
        path.write_bytes(data)
        passes(lambda: read_conditions(path), tmp_path, named="conditions.yaml")

    sections = list(values.values())

    @tried(40, st.sampled_from(sections).flatmap(disturbed))
    def strengths(section):
        path.write_text(yaml.safe_dump({"mine": section}))
        passes(heard, tmp_path)


@pytest.mark.parametrize("kind", ["impulse_response", "noise_files"])
def test_recordings_of_a_folder(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MIXFRAME_DATA", str(tmp_path))
    folder = data_root() / "rooms"
    folder.mkdir()
    golden = []
    for suffix in (".wav", ".flac", ".ogg"):
        path = folder / f"a{suffix}"
        soundfile.write(path, WAVE[:3000], 16_000)
        golden += [(path, path.read_bytes()), (path, path.read_bytes()[:80])]
        path.unlink()
    more = {"files": 2, "snr_db": 10.0} if kind == "noise_files" else {}
    section = DISTORTIONS[kind](kind=kind, folder=str(folder), **more)
    cases = st.sampled_from(golden).flatmap(
        lambda case: st.tuples(st.just(case[0]), damaged([case[1]]))
    )

    @tried(60, cases)
    def door(case):
        path, data = case
        path.write_bytes(data)
        recordings.cache_clear()
        passes(lambda: section.apply(WAVE, np.random.default_rng(0)), tmp_path, named=path.name)
        path.unlink()


def cells_like(good):
    """Draw a copy of a table in which one column has other values, or other ones in one row."""

    def change(name, values, every):
        changed = good.copy()
        own = changed[name].tolist()
        own = [values[0]] * len(own) if every else [*own[:-1], values[0]]
        changed[name] = pd.Series(own, dtype=object)
        return changed

    numbers = st.sampled_from([-1, 0, 2**31, 2**62, -(2**63), 1.5, float("nan"), float("inf")])
    lists = st.lists(st.integers(-(2**40), 2**40), max_size=4) | st.lists(numbers, max_size=3)
    one = st.one_of(st.none(), st.text(max_size=8), numbers, lists, HOSTILE.filter(hashable))
    return st.builds(change, st.sampled_from(list(good)), st.lists(one, min_size=1), st.booleans())


def hashable(value):
    """Tell whether Arrow may make a column of a value."""
    return isinstance(value, str | int | float | None)


def try_tables(few, good, path, read, folder):
    @tried(few, cells_like(good))
    def door(table):
        try:
            table.to_parquet(path, index=False)
        except (ValueError, TypeError, OverflowError):
            # Arrow makes no column of texts and numbers together.
            return
        passes(read, folder)


def test_manifests(bundles, tmp_path):
    path = tmp_path / "manifest.parquet"
    row = dict.fromkeys(manifest.TEXT, "-") | {"label": "spoof", "set": "dev", "path": "a.tar"}
    row |= {"offset": 0, "n_bytes": 10, "samples": 100, "regions": [0, 5]}
    rows = [row | {"utterance": "a"}, row | {"utterance": "b", "label": "bonafide"}]

    def read():
        table = manifest.read(path)
        manifest.refs(table)
        return [manifest.pairs(cell) for cell in table["regions"]]

    try_tables(60, pd.DataFrame(rows), path, read, tmp_path)


def test_plans(tmp_path):
    path = tmp_path / "plan.parquet"
    row = {"base": "a", "injector": "b", "label": "spoof", "base_start": 0, "n_samples": 100}
    row |= {"starts": [0], "ends": [5], "sources": [9], "crossfade": 4, "gain_db": 0.0}
    try_tables(60, pd.DataFrame([row, row]), path, lambda: read_plan(path), tmp_path)


def test_plans_of_distortions(tmp_path):
    path, wave = tmp_path / "plan.parquet", tmp_path / "a.wav"
    soundfile.write(wave, WAVE[:2000], 16_000)
    chain = {"kind": "chain", "steps": [{"kind": "offset", "value": 0.1}]}
    row = {"utterance": "a", "condition": "offset", "chain": json.dumps(chain), "seed": 1}
    row |= {"path": str(wave), "offset": 0, "n_bytes": 0}
    assert set(row) == set(planning.COLUMNS)
    table = pd.DataFrame([row, row])

    def read():
        for one in planning.read_plan(path):
            planning.render(one)

    try_tables(60, table, path, read, tmp_path)
    chains = damaged([row["chain"].encode()]).map(lambda data: data.decode("utf-8", "replace"))

    @tried(30, chains | disturbed(chain).map(lambda v: json.dumps(v, default=str)))
    def door(text):
        table.assign(chain=text).to_parquet(path, index=False)
        passes(read, tmp_path)


SUBMISSION = {
    "schema_version": 5,
    "system": arena.META["system"],
    "dataset": {"id": arena.WILD, "revision": arena.REVISION, "split": "test"},
    "scores": {"n_trials": 40, "n_skipped": 2, "eer_percent": 1.5},
    "artifact": {
        "scores_url": f"https://huggingface.co/a/b/resolve/{arena.COMMIT}/s.txt",
        "scores_sha256": "0" * 64,
        "bench_version": "1",
    },
    "submitter": arena.META["submitter"],
    "submitted_at": "2026-06-21",
}


@pytest.mark.parametrize(
    ("values", "read", "name"),
    [
        (arena.ARENA, read_arena_manifest, "manifest.yaml"),
        (arena.META, read_meta, "meta.yaml"),
        (SUBMISSION, read_submission, "mfpt-small.yaml"),
    ],
    ids=["manifest", "meta", "submission"],
)
def test_files_of_the_arena(tmp_path, values, read, name):
    path = arena.write_yaml(tmp_path / name, values)
    read(path)

    @tried(30, damaged([path.read_bytes()]) | disturbed(values).map(yaml.safe_dump))
    def door(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        passes(lambda: read(path), tmp_path, named=name)


def test_cards(tmp_path):
    (tmp_path / "head.safetensors").write_bytes(b"weights")
    card = {
        "isa": "avx2",
        "parameters": {"trainable": 1, "total": 2},
        "files": {"head.safetensors": sha256_file(tmp_path / "head.safetensors")},
        "encoder": {"folder": "", "files": {}},
    }
    write_json(tmp_path / "card.json", card)
    check_card(tmp_path)

    @tried(60, disturbed(card))
    def door(values):
        (tmp_path / "card.json").write_text(json.dumps(values, default=str))
        passes(lambda: check_card(tmp_path), tmp_path)


def test_uploads(bundles, tmp_path):
    """Whatever is sent to the server, the answer says what is wrong with it and it goes on."""
    detector = Detector.load(bundles["lfcc"], "cpu")
    client = TestClient(
        application(detector, RULE, "0.0.0.0", max_mb=0.5, max_seconds=3.0),
        raise_server_exceptions=True,
    )
    sound = tmp_path / "a.wav"
    soundfile.write(sound, WAVE, 16_000)
    head = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = b"--b\r\n" + head + sound.read_bytes() + b"\r\n--b--\r\n"
    kinds = damaged([b"multipart/form-data; boundary=b"]).map(lambda k: k.replace(b"\n", b""))
    good = b"multipart/form-data; boundary=b"
    # Heads are where forms are parsed, and short.
    bodies = damaged([body]) | damaged([body[:200]]).map(lambda start: start + body[200:])

    @tried(25, bodies, st.just(good) | kinds, st.sampled_from(["/detect", "/card"]))
    def door(content, kind, path):
        def ask():
            answer = client.post(path, content=content, headers={b"content-type": kind})
            assert answer.status_code in (200, 400, 413, 415, 422), answer.text

        passes(ask, tmp_path)
