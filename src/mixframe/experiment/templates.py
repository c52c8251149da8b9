"""The stage templates of dvc.yaml, read as YAML, without DVC."""

from collections.abc import Iterator, Mapping
from typing import Any

CODE = ("code", "code_base")
"""The stages that write fingerprints of code, and the names of the folders they write them to."""


def paths(template: Mapping[str, Any], *sections: str) -> Iterator[str]:
    """Yield the paths of a template's deps or outs; an entry is a path or {path: options}."""
    for section in sections:
        for entry in template.get(section) or ():
            yield entry if isinstance(entry, str) else next(iter(entry))
