"""A metric is one file and one line: then it stands in every output, with its interval."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import mixframe
from mixframe.metrics.registry import METRICS

FILE = """
def min_balanced_error(sample, costs):
    p_miss, p_fa = sample.corners
    return float((p_miss + p_fa).min() / 2)
"""
IMPORT = "from mixframe.metrics.balanced import min_balanced_error\n"
LINE = """
    Metric("min_ber", min_balanced_error, "balanced error", "%", interval=True, brief=INTERVAL),
"""
SCRIPT = """
import json
from pathlib import Path
from click.testing import CliRunner
from mixframe.cli import main
from mixframe.metrics import evaluation, scorecard
from mixframe.metrics.protocols import join

def call(*arguments):
    keys = ("--keys", "keys.tsv", "--resamples", "50")
    return CliRunner().invoke(main, [*arguments, *keys], catch_exceptions=False).stdout

table = join(Path("scores.txt"), Path("keys.tsv")).table
settings = evaluation.Settings(scorecard.COSTS, "trial", 50, 0.95, 0)
print(json.dumps([
    call("evaluate", "scores.txt"),
    json.loads(call("evaluate", "scores.txt", "--json", "-")),
    json.loads(call("compare", "scores.txt", "scores.txt", "--json", "-")),
    evaluation.brief(evaluation.pooled([table], settings)),
]))
"""


def test_keys_are_unique():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.interval or len(metric.brief) < 2
        assert metric.name or not (metric.interval or metric.brief or metric.calibrated)


def test_a_metric_is_one_file_and_one_line(tmp_path):
    package = tmp_path / "mixframe"
    shutil.copytree(
        Path(mixframe.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "metrics" / "balanced.py").write_text(FILE)
    registry = package / "metrics" / "registry.py"
    text = registry.read_text()
    text = text.replace(
        "from mixframe.metrics.detection", IMPORT + "from mixframe.metrics.detection"
    )
    registry.write_text(text.replace("    EER,\n", "    EER," + LINE))
    rng = np.random.default_rng(0)
    labels = ["spoof" if i % 3 else "bonafide" for i in range(90)]
    scores = [rng.normal() + 2 * (label == "bonafide") for label in labels]
    keys = [f"t{i}\t{label}\n" for i, label in enumerate(labels)]
    (tmp_path / "keys.tsv").write_text("filename\tcm-label\n" + "".join(keys))
    (tmp_path / "scores.txt").write_text("".join(f"t{i} {s}\n" for i, s in enumerate(scores)))

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    text, figures, compared, brief = json.loads(done.stdout)
    is_bonafide = np.array(labels) == "bonafide"
    bonafide, spoof = np.array(scores)[is_bonafide], np.array(scores)[~is_bonafide]
    expected = min(((bonafide <= t).mean() + (spoof > t).mean()) / 2 for t in scores)
    assert figures["min_ber"] == expected
    assert figures["min_ber_low"] < expected < figures["min_ber_high"]
    (row,) = [line for line in text.splitlines() if line.startswith("balanced error, %")]
    assert row.split()[3] == f"{100 * expected:.2f}"
    assert row.split()[4].startswith("[")
    assert compared["min_ber"]["first"] == expected
    assert compared["min_ber"]["difference"] == 0
    keys = [f"{key}{end}" for key in ("eer", "min_ber") for end in ("", "_low", "_high")]
    assert list(brief) == [*keys, "min_dcf"]
    assert brief == {key: figures[key] for key in brief}
