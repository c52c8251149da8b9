"""The Core sets of the Arena: a preset over them, and averages as it ranks."""

import copy
import shutil

import pytest
from click.testing import CliRunner
from dvc.utils.serialize import dumps_yaml, loads_yaml

from mixframe.base.errors import MixframeError
from mixframe.bundle.arena import core
from mixframe.bundle.arena.writing import of_set, source
from mixframe.cli import main
from mixframe.experiment.params import read_preset
from mixframe.metrics import arena
from tests.arena import ARENA, EMO, REVISION, ROOT, VOICE, WILD, N, project, write_yaml

BASES = ["demo", "asvspoof5_mfpt", "asvspoof5_lora", "asvspoof2019la_mfpt"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def fresh(tmp_path):
    """A project with the package's presets and the Arena's manifest."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_yaml(tmp_path / "arena.yaml", ARENA)
    return tmp_path


def changed(**entry):
    """Return the Arena's manifest with a change in its first data set."""
    values = copy.deepcopy(ARENA)
    values["core_set"][0] |= entry
    return values


def read(folder, values=ARENA):
    return core.read_arena_manifest(write_yaml(folder / "changed.yaml", values))


@pytest.mark.parametrize("base", BASES)
def test_a_preset_trains_like_another_and_evaluates_on_the_core_sets(fresh, monkeypatch, base):
    monkeypatch.chdir(fresh)
    result = CliRunner().invoke(main, ["arena", "core", "arena.yaml", "--from", base])
    assert result.exit_code == 0, result.output
    assert f"{EMO}: left out, its metric is srr_complement" in result.stderr
    path = fresh / "presets" / "arena_core.yaml"
    assert dumps_yaml(loads_yaml(path.read_text(), typ="rt")) == path.read_text()
    assert path.read_text().startswith(f"# {base} on the Arena's Core sets, ranking 2026-06:")
    own, given = read_preset("arena_core"), read_preset(base)
    same = ["seed", "splice", "pretrain", "encoder", "posttrain", "finetune", "score", "evaluate"]
    assert [getattr(own, key) for key in same] == [getattr(given, key) for key in same]
    assert (own.base, own.grid.set) == ("arena_core", ["InTheWild", "DeepVoice"])
    assert own.grid.system == given.grid.system
    section = own.protocol.corpora["arena_InTheWild"]
    assert (section.set, section.trials, section.prefix) == ("InTheWild", N, "InTheWild/")
    download = own.download["arena_InTheWild"]
    assert (download.repo, download.revision, download.disk_gb) == (WILD, REVISION, 1)
    assert own.download.keys() == own.protocol.corpora.keys()
    if base != "demo":
        training = own.protocol.corpora[base.split("_")[0].replace("2019la", "2019_la")]
        assert training.sets == {"train": "train", "dev": "dev"}
        assert len(own.download) == 3
    with pytest.raises(MixframeError, match=r"arena_core\.yaml: already there"):
        core.write_preset(read(fresh), base)


def test_a_manifest_of_version_1_gives_no_numbers_of_trials(fresh):
    values = copy.deepcopy(ARENA) | {"schema_version": 1}
    for entry in values["core_set"]:
        del entry["n_trials"]
    core.write_preset(read(fresh, values), "demo", root=fresh)
    preset = read_preset("arena_core", fresh)
    assert preset.protocol.corpora["arena_InTheWild"].trials == 0


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"revision": "abc1234"}, r"download\.arena_InTheWild\.\S*revision = 'abc1234': string"),
        ({"id": "else/DeepVoice"}, "core_set: 2 data sets are called DeepVoice"),
        ({"id": "InTheWild"}, r"core_set\.0\.id = 'InTheWild': string should match"),
        ({"n_trials": "many"}, r"core_set\.0\.n_trials = 'many': input should be a valid integer"),
    ],
)
def test_a_wrong_manifest_is_named_and_nothing_written(fresh, entry, expected):
    with pytest.raises(MixframeError, match=expected):
        core.write_preset(read(fresh, changed(**entry)), "demo", root=fresh)
    assert not (fresh / "presets" / "arena_core.yaml").exists()


def test_a_dot_in_a_name_becomes_what_a_key_may_have(fresh):
    core.write_preset(read(fresh, changed(id="some/Set-v1.5")), "demo", root=fresh)
    assert read_preset("arena_core", fresh).grid.set[0] == "Set-v1_5"


# Averages

ROWS = [
    core.Row("a", 100, 50.0, {"x": 10.0, "y": 1.0}),
    core.Row("b", 300, 50.0, {"x": 20.0}),
    core.Row("c", 600, 40.0, {}),
]


def test_averages_by_hand():
    averaged, pooled = core.averages(ROWS, "x")
    assert averaged == 15
    assert pooled == pytest.approx((1000 + 6000 + 24_000) / 1000)
    averaged, pooled = core.averages(ROWS, "y")
    assert averaged == 1
    assert pooled == pytest.approx((100 + 15_000 + 24_000) / 1000)


def table(*options):
    result = CliRunner().invoke(main, ["arena", "table", "--preset", "arena_core", *options])
    assert result.exit_code == 0, result.output
    lines = [line.strip("| ").split(" | ") for line in result.output.splitlines()]
    assert {len(line) for line in lines} == {4}
    return {line[0]: line[1:] for line in lines}


def test_the_table_has_the_rates_of_the_score_files(made, monkeypatch):
    monkeypatch.chdir(made)
    lines = table()
    assert list(lines)[2:] == ["InTheWild", "DeepVoice", "averaged", "pooled"]
    rates = []
    for name, n_trials in (("InTheWild", N - 2), ("DeepVoice", N)):
        scored = of_set(source("mfpt", "arena_core", 1), name)
        by_class = {"bonafide": [], "spoof": []}
        for utterance, score in scored.scores.items():
            by_class[scored.labels[utterance]].append(score)
        rates.append(arena.eer(by_class["bonafide"], by_class["spoof"]).percent)
        assert lines[name] == [str(n_trials), lines[name][1], f"{rates[-1]:.3f}"]
    assert lines["averaged"][2] == f"{sum(rates) / 2:.3f}"
    pooled = (rates[0] * (N - 2) + rates[1] * N) / (2 * N - 2)
    assert lines["pooled"][::2] == [str(2 * N - 2), f"{pooled:.3f}"]


def test_core_sets_without_scores_count_chance(made, monkeypatch):
    monkeypatch.chdir(made)
    lines = table("--manifest", "arena.yaml")
    assert lines["EmoSpoofTTS"] == ["20", "-", "-"]
    rates = [float(lines[name][2]) for name in ("InTheWild", "DeepVoice")]
    pooled = (rates[0] * N + rates[1] * N + 50 * 20) / (2 * N + 20)
    assert float(lines["pooled"][2]) == pytest.approx(pooled, abs=0.001)
    assert lines["averaged"] == table()["averaged"]
    assert lines["tier, with a paper"][1:] == ["silver", "silver"]


def test_a_core_set_of_unknown_size_is_named(made, monkeypatch):
    monkeypatch.chdir(made)
    values = copy.deepcopy(ARENA)
    del values["core_set"][2]["n_trials"]
    path = write_yaml(made / "unsized.yaml", values)
    result = CliRunner().invoke(
        main, ["arena", "table", "--preset", "arena_core", "--manifest", str(path)]
    )
    assert result.exit_code == 1
    assert f"core_set: {EMO} has neither n_trials nor scores" in result.stderr
    assert VOICE not in result.stderr
