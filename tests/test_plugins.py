"""One file and one line: a head, a pattern, an augmentation, a distortion, an attack, a system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

import mixframe
from mixframe.audio.augmentations import AUGMENTATIONS
from mixframe.audio.distortions import DISTORTIONS
from mixframe.audio.splicing.patterns import PATTERNS
from mixframe.models.heads import HEADS
from mixframe.training.adversarial import ATTACKS
from mixframe.training.systems import SYSTEMS

PACKAGE = Path(mixframe.__file__).parent

HEAD = """
from typing import Literal

from mixframe.models.params import HeadSection


class FirstFrame(HeadSection):
    kind: Literal["first_frame"]
    scale: float

    def build(self, dim, n_layers):
        from torch import nn

        from mixframe.models.head import Head

        scale = self.scale

        class First(Head):
            def __init__(self):
                super().__init__()
                self.classify = nn.Linear(dim, 2)

            def forward(self, layers, mask):
                return scale * self.classify(layers[-1][:, 0])

        return First()
"""
USE_HEAD = """
import sys

from pydantic import TypeAdapter

from mixframe.models.heads import AnyHead

section = TypeAdapter(AnyHead).validate_python({"kind": "first_frame", "scale": 2.0})
assert section.model_dump() == {"kind": "first_frame", "scale": 2.0}
assert "torch" not in sys.modules

import torch

from mixframe.models.backbone import new_config, wrap
from mixframe.models.detector import Detector
from mixframe.models.params import Architecture, Frozen
from transformers import AutoModel

shape = Architecture(
    hidden=16, layers=1, heads=2, feed_forward=32, conv_dim=8, conv_kernels=[10, 8],
    conv_strides=[5, 4], position_kernel=8, position_groups=2,
)
model = AutoModel.from_config(new_config(shape))
detector = Detector(wrap(model, {}), Frozen(kind="none"), section, 0)
scores = detector.score(torch.randn(3, 800), torch.tensor([800, 700, 600]))
assert scores.shape == (3,)
"""

PATTERN = """
from typing import Literal

from mixframe.base.schema import Positive
from mixframe.audio.splicing.patterns.pattern import Pattern


class MiddleFrames(Pattern):
    name: Literal["middle"]
    width: Positive

    def draw(self, rng, n_frames):
        start = (n_frames - self.width) // 2
        return [(start, start + self.width)] if start >= 0 else []
"""
USE_PATTERN = """
import pandas as pd

from mixframe.audio.frames import FrameGrid
from mixframe.base.schema import validate
from mixframe.audio.splicing.params import Splice
from mixframe.audio.splicing.planning import plan

values = {
    "set": "train", "base": "bonafide", "injector": "spoof", "speaker": "any", "copies": 1,
    "clean_share": 0.0, "max_seconds": 2.0, "crossfade": 0, "match_gain": False,
    "max_gain_db": 20.0, "pattern": {"name": "middle", "width": 4},
}
policy = validate(Splice, values, "test")
assert policy.model_dump() == values
table = pd.DataFrame(
    {
        "utterance": ["a", "b"], "set": "train", "label": ["bonafide", "spoof"],
        "speaker": ["x", "y"], "samples": [200, 200],
    }
)
planned = plan(table, policy, FrameGrid((10,), (10,)), 0)
assert planned[["starts", "ends"]].values.tolist() == [[[80], [120]]]
"""

AUGMENTATION = """
from typing import Literal

from mixframe.audio.augmentations.augmentation import Augmentation


class Louder(Augmentation):
    kind: Literal["louder"]
    factor: float

    def apply(self, wave, rng):
        return wave * wave.dtype.type(self.factor)
"""
USE_AUGMENTATION = """
import numpy as np
from pydantic import TypeAdapter

from mixframe.audio.augmentations import AnyAugmentation

values = {"kind": "louder", "factor": 2.0}
section = TypeAdapter(AnyAugmentation).validate_python(values)
assert section.model_dump() == values
made = section.apply(np.ones(5, dtype=np.float32), np.random.default_rng(0))
assert made.tolist() == [2.0] * 5
"""

DISTORTION = """
from typing import Literal

from mixframe.audio.distortions.distortion import Distortion


class Quieter(Distortion):
    kind: Literal["quieter"]
    factor: float

    def apply(self, wave, rng):
        return wave * wave.dtype.type(self.factor)
"""
USE_DISTORTION = """
import numpy as np
from pydantic import TypeAdapter

from mixframe.audio.distortions import AnyDistortion

values = {"kind": "chain", "steps": [{"kind": "quieter", "factor": 0.5}, {"kind": "polarity"}]}
section = TypeAdapter(AnyDistortion).validate_python(values)
assert section.model_dump() == values
made = section.apply(np.ones(5, dtype=np.float32), np.random.default_rng(0))
assert made.tolist() == [-0.5] * 5
"""

SYSTEM = """
from typing import Literal

import numpy as np

from mixframe.training.systems.system import Fitted, System


class Constant(System):
    kind: Literal["constant"]
    value: float

    def fit(self, work, table, state):
        dev = table[table["set"] == "dev"]
        def save(folder):
            (folder / "value").write_text(str(self.value))
        return Fitted(save, np.full(len(dev), self.value), [], {})

    def score(self, work, folder, rows):
        return np.full(len(rows), float((folder / "value").read_text()))
"""
USE_SYSTEM = """
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import yaml

from mixframe.base.schema import validate
from mixframe.experiment.params import Preset

values = yaml.safe_load(Path("presets/smoke.yaml").read_text())
values["finetune"]["constant"] = {"kind": "constant", "value": 3.0}
preset = validate(Preset, values, "test")
assert preset.model_dump() == {"trained": "", **values}
section = preset.finetune["constant"]
assert section.starts_from is None and not section.votes_for_frames
table = pd.DataFrame({"set": ["train", "dev"]})
fitted = section.fit(None, table, Path())
assert fitted.dev_scores.tolist() == [3.0]
with TemporaryDirectory() as folder:
    fitted.save(Path(folder))
    assert section.score(None, Path(folder), table).tolist() == [3.0, 3.0]
"""


ATTACK = """
from typing import Literal

from mixframe.training.adversarial.attack import Attack


class Silence(Attack):
    kind: Literal["silence"]

    def search(self, objective, waves, rngs):
        return [wave * 0 for wave in waves]
"""
USE_ATTACK = """
import sys

import numpy as np
from pydantic import TypeAdapter

from mixframe.training.adversarial import AnyAttack

values = {
    "kind": "silence", "target": "any", "ball": {"norm": "snr", "snr_db": 0.0},
    "expectation": {"draws": 1, "shift_ms": 0.0, "gain_db": 0.0, "noise_db": 0.0},
}
section = TypeAdapter(AnyAttack).validate_python(values)
assert section.model_dump() == values
assert "torch" not in sys.modules

from mixframe.training.adversarial.moves import attack

[made] = attack(None, [np.ones(5, dtype=np.float32)], ["spoof"], section, [None])
assert made.tolist() == [0.0] * 5
"""


ADDITIONS = {
    "head": (
        "models/heads",
        '"first_frame": "first_frame.FirstFrame",',
        ("first_frame.py", HEAD),
        USE_HEAD,
    ),
    "pattern": (
        "audio/splicing/patterns",
        '"middle": "middle.MiddleFrames",',
        ("middle.py", PATTERN),
        USE_PATTERN,
    ),
    "augmentation": (
        "audio/augmentations",
        '"louder": "louder.Louder",',
        ("louder.py", AUGMENTATION),
        USE_AUGMENTATION,
    ),
    "distortion": (
        "audio/distortions",
        '"quieter": "quieter.Quieter",',
        ("quieter.py", DISTORTION),
        USE_DISTORTION,
    ),
    "attack": (
        "training/adversarial",
        '"silence": "silence.Silence",',
        ("silence.py", ATTACK),
        USE_ATTACK,
    ),
    "system": (
        "training/systems",
        '"constant": "constant.Constant",',
        ("constant.py", SYSTEM),
        USE_SYSTEM,
    ),
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_a_plug_in_is_one_file_and_one_line(tmp_path, addition):
    registry, line, (name, text), use = ADDITIONS[addition]
    copy = tmp_path / "mixframe"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / registry / name).write_text(text)
    table = copy / registry / "__init__.py"
    before, after = table.read_text().split("\n    },\n)\n")
    table.write_text(f"{before}\n        {line}\n    }},\n)\n{after}")
    done = subprocess.run(
        [sys.executable, "-c", use],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (HEADS, "kind"),
        (PATTERNS, "name"),
        (AUGMENTATIONS, "kind"),
        (DISTORTIONS, "kind"),
        (ATTACKS, "kind"),
        (SYSTEMS, "kind"),
    ],
)
def test_each_section_has_its_kind_and_a_module_of_its_own(table, key):
    for kind, section in table.items():
        assert section.model_fields[key].annotation == Literal[kind]
    assert len({section.__module__ for section in table.values()}) == len(table)


def test_reading_a_preset_does_not_import_torch():
    code = "import mixframe.experiment.params, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
