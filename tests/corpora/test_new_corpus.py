"""A corpus that this package does not know takes one file and one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

import mixframe
from tests.conftest import tone

NEW = '''"""A corpus of this test: `UTTERANCE,CODEC,LABEL` below a header."""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import Format

CORPUS = Corpus(
    title="New",
    page="https://example.org",
    licence="none",
    form=Format(
        "utterance,codec,label",
        separator=",",
        header="utterance,codec,label",
        labels={"real": "bonafide", "fake": "spoof"},
    ),
    parts={"test": Part("lists/test.csv", "audio")},
    suffix=".wav",
)
'''

RUN = """
import json
from pathlib import Path

from pydantic import TypeAdapter

from mixframe.corpora.kinds import KINDS, DownloadParams, ProtocolParams

download = {"kind": "new", "path": "lab", "addresses": [], "archives": {}, "disk_gb": 0}
protocol = {"kind": "new", "sets": {"test": "eval"}, "trials": {"test": 4}, "decode": True}
protocol |= {"max_missing": 0, "max_orphans": 0}
section = TypeAdapter(DownloadParams).validate_python(download)
entry = KINDS["new"].download(section, Path("data/new"))
section = TypeAdapter(ProtocolParams).validate_python(protocol)
table = KINDS["new"].protocol(section, 1, entry, None, 1)
columns = ["utterance", "set", "label", "codec", "path", "samples"]
print(json.dumps(table[columns].to_dict("list")))
"""


def test_a_corpus_is_one_file_and_one_line(tmp_path):
    package = tmp_path / "src" / "mixframe"
    shutil.copytree(
        Path(mixframe.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "corpora" / "new.py").write_text(NEW)
    registry = package / "corpora" / "__init__.py"
    text = registry.read_text().replace("    in_the_wild,\n", "    in_the_wild,\n    new,\n")
    line = '    "in_the_wild": in_the_wild.CORPUS,\n'
    assert line in text
    registry.write_text(text.replace(line, f'{line}    "new": new.CORPUS,\n'))

    folder = tmp_path / "data" / "lab"
    (folder / "lists").mkdir(parents=True)
    (folder / "audio").mkdir()
    lines = ["utterance,codec,label", *(f"u{i},c,{('real', 'fake')[i % 2]}" for i in range(4))]
    (folder / "lists" / "test.csv").write_text("".join(f"{line}\n" for line in lines))
    for i in range(4):
        soundfile.write(folder / "audio" / f"u{i}.wav", tone(1000 + i, i), 16_000)

    environment = {k: v for k, v in os.environ.items() if k != "MIXFRAME_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "utterance": [f"u{i}" for i in range(4)],
        "set": ["eval"] * 4,
        "label": ["bonafide", "spoof"] * 2,
        "codec": ["c"] * 4,
        "path": [f"data/lab/audio/u{i}.wav" for i in range(4)],
        "samples": [1000 + i for i in range(4)],
    }
