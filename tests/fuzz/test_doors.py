"""Damaged presets, params.yaml, score files, keys and labels of regions: a sentence, or figures.

`MIXFRAME_FUZZ_SECONDS=60 pytest tests/fuzz` tries new ones at each door, so long.
"""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import strategies as st

from mixframe.base.errors import MixframeError
from mixframe.base.outputs import check_outputs
from mixframe.base.yamlfiles import parse_yaml, read_yaml
from mixframe.cli import main
from mixframe.experiment import params
from mixframe.metrics.protocols import read_asv
from mixframe.metrics.regionfiles import read_frames, read_regions
from tests.conftest import choice_of
from tests.fuzz.harness import passes, tried
from tests.fuzz.mutation import damaged, disturbed
from tests.test_regionfiles import FILES

ROOT = Path(__file__).parents[2]
SMOKE = (ROOT / "presets" / "smoke.yaml").read_bytes()
PRESET = yaml.safe_load(SMOKE)
CHOICE = choice_of("smoke", PRESET)
N = 12
LABELS = ["bonafide" if i % 3 else "spoof" for i in range(N)]


def lines(form):
    """Return a file with a line a trial."""
    return "".join(form(i, LABELS[i], (i * 7 % 5) - 2.25) for i in range(N)).encode()


SCORES = [
    b"filename\tcm-score\n" + lines(lambda i, _, s: f"T_{i}\t{s}\n"),
    lines(lambda i, _, s: f"T_{i} {s}\n"),
    lines(lambda i, k, s: f"T_{i} {'-' if k == 'bonafide' else 'A01'} {k} {s}\n"),
]
KEYS = [
    b"filename\tcm-label\n" + lines(lambda i, k, _: f"T_{i}\t{k}\n"),
    lines(lambda i, k, _: f"S{i % 4} T_{i} - {'-' if k == 'bonafide' else 'A01'} {k}\n"),
    lines(
        lambda i, k, _: (
            f"S{i % 4} T_{i} alaw ita_tx {'bonafide' if k == 'bonafide' else 'A07'} {k} notrim "
            "eval\n"
        )
    ),
]
FRAMES = [
    b"".join(b"T_%d\t%d\t%d.5\n" % (i, j, (i + j) % 4) for i in range(3) for j in range(25)),
    b"utterance\tstart\tscore\n"
    + b"".join(b"T_%d\t%.2f\t-1.5\n" % (i, j / 50) for i in range(3) for j in range(25)),
]
REGIONS = b"".join(
    b"T_%d 0.5000 %s 0.0-0.2-bonafide 0.2-0.5-%s\n" % (i, k, k)
    for i, k in enumerate((b"spoof", b"spoof", b"bonafide"))
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project of smoke, and one good file of each kind."""
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "smoke.yaml").write_bytes(SMOKE)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(CHOICE))
    for name, data in (("s", SCORES[0]), ("k", KEYS[0]), ("f", FRAMES[0]), ("r", REGIONS)):
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_good_files_are_taken(folder):
    assert command("evaluate", "s", "--keys", "k")
    for scores in SCORES:
        for keys in KEYS:
            Path("s").write_bytes(scores)
            Path("k").write_bytes(keys)
            assert command("evaluate", "s", "--keys", "k"), (scores, keys)
    for frames in FRAMES:
        Path("f").write_bytes(frames)
        assert command("evaluate", "--frames", "f", "--regions", "r"), frames
    assert params.read_preset("smoke", folder)


def command(*arguments):
    """Run a command that writes out.json."""
    options = ["--resamples", "3", "--workers", "1", "--json", "out.json"]
    assert run(*arguments, *options)
    json.loads(Path("out.json").read_text())
    return True


def run(*arguments):
    """Run a command and return what it prints; exit code and message are those of a user."""
    result = CliRunner().invoke(main, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1), result.output
    if result.exit_code:
        assert result.stderr.startswith("mixframe: ")
        raise MixframeError(result.stderr)
    return result.stdout


def evaluated(folder, *arguments):
    Path("out.json").unlink(missing_ok=True)
    passes(lambda: command(*arguments), folder, frozenset({"out.json"}))


def test_scores(folder):
    @tried(25, damaged(SCORES))
    def door(data):
        Path("s").write_bytes(data)
        evaluated(folder, "evaluate", "s", "--keys", "k")


def test_keys(folder):
    @tried(25, damaged(KEYS), st.sampled_from([(), ("--by", "attack"), ("--unit", "speaker")]))
    def door(data, more):
        Path("k").write_bytes(data)
        evaluated(folder, "evaluate", "s", "--keys", "k", *more)


def test_two_score_files(folder):
    @tried(15, damaged(SCORES), damaged(SCORES))
    def door(one, other):
        Path("s").write_bytes(one)
        Path("t").write_bytes(other)
        evaluated(folder, "compare", "s", "t", "--keys", "k")


def test_scores_of_speaker_verification(folder):
    kinds = ("target", "nontarget", "spoof")
    of_2019 = lines(lambda i, _, s: f"LA_1 {kinds[i % 3]} {s}\n")
    scores = lines(lambda i, _, s: f"LA_{i % 2} T_{i} {s}\n")
    keys = lines(lambda i, _, __: f"LA_{i % 2} T_{i} alaw ita_tx - {kinds[i % 3]} notrim eval\n")
    Path("a").write_bytes(of_2019)
    assert read_asv(Path("a")).target.size
    Path("a").write_bytes(scores)
    Path("b").write_bytes(keys)
    assert read_asv(Path("a"), Path("b"), "eval").target.size

    @tried(60, damaged([of_2019]))
    def alone(data):
        Path("a").write_bytes(data)
        passes(lambda: read_asv(Path("a")), folder)

    @tried(60, damaged([scores]), damaged([keys]), st.booleans())
    def with_keys(data, of_keys, which):
        Path("a").write_bytes(data if which else scores)
        Path("b").write_bytes(keys if which else of_keys)
        passes(lambda: read_asv(Path("a"), Path("b"), "eval"), folder)


def test_fusion(folder):
    command = ["fuse", "s", "t", "--keys", "k", "--dev", "s", "t", "--dev-keys", "k"]

    @tried(15, damaged(SCORES[:1]))
    def door(data):
        Path("t").write_bytes(data)
        Path("out").unlink(missing_ok=True)
        passes(lambda: run(*command, "--output", "out"), folder, frozenset({"out"}))


def test_frames_and_regions(folder):
    @tried(20, damaged(FRAMES), damaged([REGIONS]), st.sampled_from(["f", "r"]))
    def door(frames, regions, which):
        Path("f").write_bytes(frames if which == "f" else FRAMES[0])
        Path("r").write_bytes(regions if which == "r" else REGIONS)
        evaluated(folder, "evaluate", "--frames", "f", "--regions", "r")


def test_labels_of_regions(folder):
    @tried(150, damaged([text.encode() for text in FILES.values()]))
    def door(data):
        Path("labels").write_bytes(data)
        passes(lambda: read_regions(Path("labels")), folder)


def test_labels_in_a_folder(folder):
    Path("labels").mkdir()

    @tried(50, damaged([b"0.0 0.5 speech_bonafide\n0.5 1.0 speech_spoof\n"]))
    def door(data):
        Path("labels/a.vad").write_bytes(data)
        passes(lambda: read_regions(Path("labels")), folder)


def test_scores_of_frames(folder):
    @tried(150, damaged(FRAMES))
    def door(data):
        Path("f").write_bytes(data)
        passes(lambda: read_frames(Path("f")), folder)


def test_the_text_of_a_preset(folder):
    @tried(15, damaged([SMOKE]))
    def door(data):
        Path("presets/smoke.yaml").write_bytes(data)
        passes(lambda: params.read_preset("smoke", folder), folder)


def test_the_values_of_a_preset(folder):
    @tried(40, disturbed(PRESET))
    def door(values):
        Path("presets/smoke.yaml").write_text(yaml.safe_dump(values))
        passes(lambda: params.read_preset("smoke", folder), folder)


def choose(folder):
    choice = params.read_choice(folder)
    params.check_grid(choice.grid, params.read_preset(choice.preset, folder))


def test_params_yaml(folder):
    @tried(15, damaged([yaml.safe_dump(CHOICE).encode()]))
    def text(data):
        Path("params.yaml").write_bytes(data)
        passes(lambda: choose(folder), folder)

    @tried(15, disturbed(CHOICE))
    def values(changed):
        Path("params.yaml").write_text(yaml.safe_dump(changed))
        passes(lambda: choose(folder), folder)


def test_yaml(folder):
    @tried(300, st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
    def anything(data):
        Path("x.yaml").write_bytes(data)
        passes(lambda: read_yaml(Path("x.yaml")), folder)

    @tried(300, st.text("&*a:-?[]{}!<'\"|>%@#,. \n\t01e_~=", max_size=40))
    def signs(text):
        passes(lambda: parse_yaml(text, "x"), folder)


def test_places(folder):
    names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)

    @tried(100, st.lists(names, min_size=1, max_size=3))
    def door(parts):
        path = folder.joinpath("below", *(part.lstrip("/") or "x" for part in parts))
        passes(lambda: check_outputs([path], [folder]), folder)
