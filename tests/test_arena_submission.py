"""Submissions to the Arena: written out of results; each check fails when its cause is planted."""

import copy
import hashlib

import pytest
import yaml
from click.testing import CliRunner

from mixframe.base.errors import MixframeError
from mixframe.bundle.arena import checks, writing
from mixframe.bundle.arena.submission import read_meta, read_submission
from mixframe.cli import main
from mixframe.experiment.params import read_preset
from mixframe.metrics import arena
from mixframe.metrics.scorefiles import read_scores
from tests.arena import (
    COMMIT,
    EMO,
    META,
    OWNER,
    REVISION,
    ROOT,
    VOICE,
    WILD,
    N,
    labelled,
    project,
    write_labels,
    write_yaml,
)

LABELS = "data/arena_InTheWild/labels.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The project; submissions go to tmp_path."""
    monkeypatch.chdir(made)
    return tmp_path


def run(*command):
    return CliRunner().invoke(main, ["arena", *map(str, command)])


def submit(folder, *options, dataset="InTheWild"):
    options = ["--system", "mfpt", "--preset", "arena_core", *options]
    return run("submit", *options, "--dataset", dataset, "--meta", "meta.yaml", "--to", folder)


def test_the_score_file_comes_first_and_the_commands_are_printed(here):
    result = submit(here)
    assert result.exit_code == 0, result.output
    assert [path.name for path in here.iterdir()] == ["scores.txt"]
    place = f".eval_results/{WILD}/scores.txt"
    assert f"hf upload someone/mfpt {here}/scores.txt {place} --repo-type model" in result.output
    table = read_scores(here / "scores.txt")
    scored = read_scores(writing.source("mfpt", "arena_core", 1).scores("InTheWild"))
    assert table["trial"].tolist() == list(labelled("InTheWild"))[: N - 2]
    assert table["score"].tolist() == scored["score"].tolist()


def test_a_submission_says_what_the_results_know_and_passes_all_checks(here):
    result = submit(here, "--commit", COMMIT, "--calibrate", "DeepVoice", "--date", "2026-06-21")
    assert result.exit_code == 0, result.output
    values = yaml.safe_load((here / "mfpt-small.yaml").read_text())
    sha = hashlib.sha256((here / "scores.txt").read_bytes()).hexdigest()
    by_class = [[], []]
    for line in (here / "scores.txt").read_text().splitlines():
        name, score = line.split()
        by_class[labelled("InTheWild")[name]].append(float(score))
    calibration = values.pop("calibration")
    assert values == {
        "schema_version": 5,
        "system": META["system"] | {"params_millions": 1.125639},
        "dataset": {"id": WILD, "revision": REVISION, "split": "test"},
        "scores": {"n_trials": N, "n_skipped": 2, "eer_percent": arena.eer(*by_class).percent},
        "artifact": {
            "scores_url": f"https://huggingface.co/someone/mfpt/resolve/{COMMIT}/"
            f".eval_results/{WILD}/scores.txt",
            "scores_sha256": sha,
            "bench_version": "speech-spoof-bench==0.4.1",
        },
        "reproduction": {},
        "submitter": META["submitter"],
        "submitted_at": "2026-06-21",
        "notes": META["notes"],
    }
    assert calibration["source_dataset"] == VOICE
    voice = writing.of_set(writing.source("mfpt", "arena_core", None), "DeepVoice")
    passed = [s >= calibration["threshold"] for s in voice.scores.values()]
    assert 0 < sum(passed) < len(passed)
    checked = ["check", here / "mfpt-small.yaml", "--scores", here / "scores.txt", "--labels"]
    assert run(*checked, LABELS).exit_code == 0
    assert "submissions/mfpt-small.yaml --repo-type dataset --create-pr" in result.output


def test_version_4_knows_less(here):
    assert submit(here, "--commit", COMMIT, "--schema", "4").exit_code == 0
    values = yaml.safe_load((here / "mfpt-small.yaml").read_text())
    assert values["schema_version"] == 4
    assert values["artifact"]["bench_version"] == "speech-spoof-bench==0.3.0"
    result = submit(here, "--commit", COMMIT, "--schema", "4", "--calibrate", "DeepVoice")
    assert result.exit_code == 1
    assert "calibration needs schema_version 5" in result.stderr


def test_without_labels_the_manifest_tells_the_classes(here, monkeypatch):
    monkeypatch.setenv("MIXFRAME_DATA", str(here / "elsewhere"))
    assert submit(here, "--commit", COMMIT).exit_code == 0
    scores = yaml.safe_load((here / "mfpt-small.yaml").read_text())["scores"]
    assert (scores["n_trials"], scores["n_skipped"]) == (N, 2)


def test_a_manifest_serves_as_labels(here, made):
    assert submit(here, "--commit", COMMIT).exit_code == 0
    manifest = "results/arena_core/corpus/manifest.parquet"
    checked = ["check", here / "mfpt-small.yaml", "--scores", here / "scores.txt", "--labels"]
    assert run(*checked, manifest, "--set", "InTheWild").exit_code == 0
    result = run(*checked, manifest, "--set", "DeepVoice")
    assert "38 scores are of no trial of the data set: InTheWild_00" in result.stderr
    with pytest.raises(MixframeError, match="--set None: expected one of DeepVoice, InTheWild"):
        checks.read_trials(made / manifest)
    with pytest.raises(MixframeError, match=r"expected a labels\.parquet or a manifest"):
        checks.read_trials(made / "meta.yaml")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("asvspoof5_mfpt", ["ASVspoof5"]),
        ("asvspoof2019la_mfpt", ["ASVspoof2019_LA"]),
        ("demo", []),
    ],
)
def test_the_preset_knows_what_a_system_was_trained_on(name, expected):
    preset = read_preset(name, ROOT)
    assert writing.trained_on(preset) == [f"{OWNER}/{one}" for one in expected]


def test_a_set_of_no_single_data_set_is_refused(here):
    result = submit(here, dataset="eval_seen")
    assert result.exit_code == 1
    assert "made by 0 data sets of the Arena, expected 1; sets of the Arena" in result.stderr
    assert "DeepVoice, InTheWild" in result.stderr
    result = submit(here, dataset=f"{WILD}@{REVISION}")
    assert result.exit_code == 2
    assert "--scores and --labels go together" in result.output


# Files of a data set that no preset has


def of_files(folder, repository, labels, scores, *options):
    lines = [f"{name} {score}\n" for name, score in scores.items()]
    (folder / "given.txt").write_text("".join(lines))
    write_labels(folder / "labels.parquet", labels)
    given = ["--scores", folder / "given.txt", "--labels", folder / "labels.parquet"]
    return submit(folder, *given, *options, dataset=f"{repository}@{REVISION}")


def test_spoofs_alone_are_judged_by_the_threshold_of_another_set(here):
    spoofs = {f"emo_{i}": 1 for i in range(20)}
    scores = {name: i / 5 - 3 for i, name in enumerate(spoofs)}
    result = of_files(here, EMO, spoofs, scores, "--commit", COMMIT)
    assert result.exit_code == 1
    assert "its metric srr_complement needs the threshold of another set" in result.stderr
    options = ["--commit", COMMIT, "--calibrate", "DeepVoice"]
    result = of_files(here, EMO, spoofs, scores, *options)
    assert result.exit_code == 0, result.output
    values = yaml.safe_load((here / "mfpt-small.yaml").read_text())
    threshold = values["calibration"]["threshold"]
    expected = 100 * sum(score >= threshold for score in scores.values()) / 20
    assert 0 < expected < 100
    assert values["scores"]["srr_complement"] == pytest.approx(expected)


def test_more_scores_than_trials_are_refused(here):
    result = of_files(here, WILD, {"a": 0, "b": 1}, {"a": 1, "b": 0, "c": 2})
    assert result.exit_code == 1
    assert "3 scores, but 2 trials" in result.stderr


# Checks


@pytest.fixture(scope="module")
def good(made, tmp_path_factory):
    """A folder with a submission that passes, and its data set's labels."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        result = submit(folder, "--commit", COMMIT, "--calibrate", "DeepVoice")
        assert result.exit_code == 0, result.output
    return folder, checks.read_trials(made / LABELS)


def planted(good, folder, change=lambda values: None, lines=None, rehash=True):
    """Copy the submission with a change in it, and check it."""
    source, labels = good
    values = copy.deepcopy(yaml.safe_load((source / "mfpt-small.yaml").read_text()))
    text = (source / "scores.txt").read_text()
    (folder / "scores.txt").write_text(lines(text) if lines else text)
    if rehash:
        sha = hashlib.sha256((folder / "scores.txt").read_bytes()).hexdigest()
        values["artifact"]["scores_sha256"] = sha
    change(values)
    path = write_yaml(folder / "mfpt-small.yaml", values)
    return checks.check(path, folder / "scores.txt", labels)


def test_nothing_planted_passes(good, tmp_path):
    assert planted(good, tmp_path).system.slug == "mfpt-small"


def setting(place, value):
    def change(values):
        *parents, key = place.split(".")
        for parent in parents:
            values = values[parent]
        values[key] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("schema_version", 3, "schema_version = 3: input should be 4 or 5"),
        ("system.slug", "Big Name", "system.slug = 'Big Name': string should match pattern"),
        ("system.slug", "other", r"expected the file name other\.yaml"),
        ("system.code", "github", "system.code = 'github': expected an address"),
        ("system.licence", "mit", "system.licence = 'mit': unknown key"),
        ("system.paper", {"url": "https://a.b"}, r"system.paper.arxiv_id: missing"),
        ("system.paper", None, "paper is null; give a value or leave the key out"),
        ("system.trained_on", ["InTheWild"], r"system.trained_on.0 = 'InTheWild': string should"),
        ("dataset.id", "InTheWild", "dataset.id = 'InTheWild': string should match"),
        ("dataset.revision", "main", "dataset.revision = 'main': string should match"),
        ("dataset.split", "eval", "dataset.split = 'eval': input should be 'test'"),
        ("scores.accuracy", 99, "scores.accuracy = 99: unknown key"),
        ("scores", {"n_trials": N, "n_skipped": 2}, "no metric; expected one of eer_percent"),
        ("scores.n_trials", N + 1, r"scores.n_trials = 41: expected 38 scores and .*= 2 together"),
        ("scores.n_skipped", 0, r"2 trials have no score, scores.n_skipped = 0: InTheWild_38, "),
        ("scores.eer_percent", 12.0, r"scores.eer_percent = 12.0, the score file gives \d"),
        ("artifact.scores_sha256", "0" * 64, r"scores_sha256 = 0{64}, but .*scores.txt has "),
        (
            "artifact.scores_url",
            "https://huggingface.co/a/b/resolve/main/scores.txt",
            "with a commit of 7 to 40 hexadecimal digits and no branch",
        ),
        ("reproduction", {"match": "scoring"}, "expected nothing, or reproduced_by, "),
        ("submitter.contact", "", "submitter.contact = '': string should have at least 1"),
        ("submitted_at", "June", "submitted_at = 'June': invalid isoformat"),
        ("calibration.threshold", float("inf"), "calibration.threshold = inf: .*finite number"),
    ],
)
def test_a_wrong_value_is_named(good, tmp_path, place, value, expected):
    with pytest.raises(MixframeError, match=f"(?s){expected}"):
        planted(good, tmp_path, setting(place, value))


def test_a_metric_may_differ_by_rounding_alone(good, tmp_path):
    source, _ = good
    own = read_submission(source / "mfpt-small.yaml").scores.eer_percent
    planted(good, tmp_path, setting("scores.eer_percent", own + 0.9e-6))
    with pytest.raises(MixframeError, match="the score file gives"):
        planted(good, tmp_path, setting("scores.eer_percent", own + 1.1e-6))


def test_version_4_has_no_keys_of_version_5(good, tmp_path):
    with pytest.raises(MixframeError, match="calibration needs schema_version 5"):
        planted(good, tmp_path, setting("schema_version", 4))

    def change(values):
        del values["calibration"]
        values["schema_version"] = 4
        values["system"]["trained_on"] = [WILD]

    with pytest.raises(MixframeError, match=r"system\.trained_on needs schema_version 5"):
        planted(good, tmp_path, change)


def test_a_spoof_only_metric_needs_its_calibration(good, tmp_path):
    def change(values):
        del values["calibration"]
        values["scores"]["srr_complement"] = 1.0

    with pytest.raises(MixframeError, match=r"scores\.srr_complement needs calibration"):
        planted(good, tmp_path, change)
    with pytest.raises(MixframeError, match=r"scores\.srr_complement = 1\.0, the score file gives"):
        planted(good, tmp_path, setting("scores.srr_complement", 1.0))


def test_a_date_without_quotes_is_named(good, tmp_path):
    planted(good, tmp_path)
    path = tmp_path / "mfpt-small.yaml"
    lines = path.read_text().splitlines()
    lines = ["submitted_at: 2026-06-21" if "submitted_at" in line else line for line in lines]
    path.write_text("\n".join(lines))
    with pytest.raises(MixframeError, match=r"submitted_at = .*: a date without quotes"):
        read_submission(path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (lambda text: text + text.splitlines()[0] + "\n", "line 39: .*is on line 1 already"),
        (lambda text: text.replace("_00 ", "_77 "), "1 scores are of no trial .*: InTheWild_77"),
        (lambda text: "InTheWild_38 nan\n" + text, "line 1: score 'nan', expected a finite number"),
        (lambda text: "InTheWild_38 inf\n" + text, "line 1: score 'inf', expected a finite number"),
        (lambda text: "filename\tcm-score\n" + text, "line 1: 1 fields, expected 2"),
        (lambda text: "InTheWild_38 1 2\n" + text, "line 1: 3 fields, expected 2"),
        (lambda text: "InTheWild_38 0.5\n" + text, "expected 39 scores and .*= 2 together"),
        (
            lambda text: "".join(f"{n} -{s}\n" for n, s in map(str.split, text.splitlines())),
            "score '--",
        ),
    ],
)
def test_a_wrong_score_file_is_named(good, tmp_path, lines, expected):
    with pytest.raises(MixframeError, match=f"(?s){expected}"):
        planted(good, tmp_path, lines=lines)


def test_a_score_file_of_one_class_has_no_eer(good, tmp_path):
    def spoofs(text):
        kept = [line for line in text.splitlines() if good[1][line.split()[0]] == "spoof"]
        return "\n".join(kept)

    with pytest.raises(MixframeError, match=r"scores\.eer_percent: bonafide scores: 0 trials"):
        planted(good, tmp_path, lines=spoofs)


def test_an_edited_score_file_has_another_sha256(good, tmp_path):
    with pytest.raises(MixframeError, match=r"artifact\.scores_sha256"):
        planted(good, tmp_path, lines=lambda text: text + "\n", rehash=False)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("model_repo", "mine", "model_repo = 'mine': string should match"),
        ("submitter.token", "x", "submitter.token = 'x': unknown key"),
        ("system.trained_on", [], "system.trained_on = .*: unknown key"),
    ],
)
def test_wrong_meta_is_named(tmp_path, place, value, expected):
    values = copy.deepcopy(META)
    setting(place, value)(values)
    with pytest.raises(MixframeError, match=expected):
        read_meta(write_yaml(tmp_path / "meta.yaml", values))
