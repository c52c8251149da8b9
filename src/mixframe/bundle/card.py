"""README.md of a bundle: a model card by the rules of the Hugging Face hub.

https://huggingface.co/docs/hub/model-cards; the front matter is YAML, the rest Markdown.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mixframe.base.files import read_object, sha256_file, write_text
from mixframe.base.shown import visible
from mixframe.bundle.contents import CONTENTS, ENCODER, Contents, Evaluated
from mixframe.metrics.tables import percent
from mixframe.models.detector import ADAPTER_CONFIG
from mixframe.training.systems.neural import Neural

TEMPLATE = "card.md.j2"
MARKS = re.compile(r"([\\`*_\[\]<>|#~$&])")


def write_card(
    folder: Path,
    contents: Contents,
    license_name: str,
    others: Mapping[str, Mapping[str, Evaluated]],
) -> None:
    """Write README.md beside bundle.json.

    Args:
        license_name: of the weights, as the hub names it.
        others: figures of other systems of the same experiment by set, to hold this one against.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: escaped(value) if isinstance(value, str) else value,
    )
    environment.filters["cell"] = _cell
    template = environment.get_template(TEMPLATE)
    with_lora = (folder / ADAPTER_CONFIG).is_file()
    model_type = ""
    if with_lora:
        model_type = read_object(folder / ENCODER / "config.json")["model_type"]
    system = contents.system
    window = system.crop_seconds if isinstance(system, Neural) and system.short == "tile" else None
    text = template.render(
        bundle=contents,
        with_lora=with_lora,
        wavlm=model_type == "wavlm",
        seconds=window or contents.score.max_seconds,
        rows={contents.name: contents.evaluated, **others},
        files={**contents.files, CONTENTS: sha256_file(folder / CONTENTS)},
    )
    write_text(folder / "README.md", f"---\n{front_matter(contents, license_name)}---\n\n{text}")


def escaped(text: str) -> str:
    """Return text of one line that Markdown shows as it is."""
    return MARKS.sub(r"\\\1", visible(" ".join(text.split())))


def front_matter(contents: Contents, license_name: str) -> str:
    """Return the YAML between the dashes, as the hub reads it."""
    trained = contents.trained_on
    values: dict[str, Any] = {
        "library_name": "mixframe",
        "license": license_name,
        "pipeline_tag": "audio-classification",
        "tags": ["audio", "speech", "anti-spoofing", "deepfake-detection", contents.system.kind],
        "datasets": trained.corpora,
    }
    if trained.base_model:
        values["base_model"] = trained.base_model.partition("@")[0]
    results = [
        {
            "task": {"type": "audio-classification", "name": "Speech deepfake detection"},
            "dataset": {"type": f"{trained.preset}-{name}", "name": name},
            "metrics": [
                {
                    "type": "eer",
                    "name": f"EER in % ({interval(figures)}; {figures.trials:,} trials)",
                    "value": round(100 * figures.eer, 2),
                }
            ],
        }
        for name, figures in contents.evaluated.items()
    ]
    values["model-index"] = [{"name": contents.name, "results": results}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _cell(figures: Mapping[str, Evaluated], name: str) -> str:
    """Return a cell of the table of results; empty where a system has no figures on a set."""
    one = figures.get(name)
    return f"{percent(one.eer)} ({percent(one.low)} to {percent(one.high)})" if one else ""


def interval(figures: Evaluated) -> str:
    """Return the interval of an EER in words: `95 % interval 6.87 to 12.46`."""
    low, high = percent(figures.low), percent(figures.high)
    return f"{100 * figures.level:g} % interval {low} to {high}"
