"""Every system of the presets for published encoders takes its two training steps."""

from pathlib import Path

import pytest
from transformers import Wav2Vec2Config

from benchmarks import paper_step
from mixframe.experiment.params import read_preset
from mixframe.models import backbone as backbones
from mixframe.training.systems.neural import Neural

ROOT = Path(__file__).parents[1]
SYSTEMS = [
    (path.stem, name)
    for path in sorted((ROOT / "presets").glob("asvspoof*.yaml"))
    for name, section in read_preset(path.stem, ROOT).finetune.items()
    if isinstance(section, Neural)
]
SMALL = Wav2Vec2Config(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=48,
    conv_dim=[16] * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    conv_bias=True,
    **backbones.switches(0.0),
)
"""XLS-R in small."""
SHORT = {"steps": 2, "batch": 2, "slices": 1, "evaluate_every": 2, "checkpoint_every": 2}


def test_every_paper_preset_is_among_them():
    presets = {path.stem for path in (ROOT / "presets").glob("*.yaml")}
    hub = {name for name in presets if read_preset(name, ROOT).pretrain.kind == "hub"}
    assert {preset for preset, _ in SYSTEMS} == hub


@pytest.mark.parametrize(("preset", "system"), SYSTEMS)
def test_a_system_takes_two_steps(preset, system, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(paper_step, "published_config", lambda name: SMALL)
    monkeypatch.setattr(paper_step, "_shortened", lambda section: section.model_copy(update=SHORT))
    figures = paper_step.measure(preset, system)
    encoder = read_preset(preset).finetune[system].encoder
    assert ("posttrain" in figures) == (encoder != "foundation")
    for stage in set(figures) - {"device"}:
        assert 0 < figures[stage]["loss"] < 10
        assert figures[stage]["trained_parameters"] > 0
