"""How many parameters the systems of a preset have, told without fetching a model."""

from pathlib import Path

from transformers import PretrainedConfig

from mixframe.experiment.layout import Layout
from mixframe.experiment.params import Preset
from mixframe.models import backbone as backbones
from mixframe.models.params import Hub
from mixframe.models.published import PUBLISHED, Counts, count, published_config
from mixframe.training.params import Foundation, Scratch
from mixframe.training.systems.neural import Neural


def foundation_config(foundation: Foundation, files: Layout) -> PretrainedConfig:
    """Return the configuration of a preset's foundation model without fetching it.

    Raises:
        MixframeError: it is neither known, nor in a folder, nor there from an earlier run; or its
            configuration cannot be used.
    """
    if isinstance(foundation, Scratch):
        return backbones.new_config(foundation.architecture)
    if isinstance(foundation, Hub) and foundation.name in PUBLISHED:
        return published_config(foundation.name)
    folder = files.foundation if isinstance(foundation, Hub) else Path(foundation.path)
    config = backbones.read_config(folder, **backbones.switches(0.0))
    backbones.grid_of(config, str(folder / "config.json"))
    return config


def count_all(preset: Preset, files: Layout) -> dict[str, Counts]:
    """Count the parameters of every neural system of a preset's grid."""
    config = foundation_config(preset.pretrain, files)
    systems = {name: preset.finetune[name] for name in preset.grid.system}
    return {
        name: count(config, system.adapter, system.head)
        for name, system in systems.items()
        if isinstance(system, Neural)
    }
