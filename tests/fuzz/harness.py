"""What a door may do with an input: take it, or say in a MixframeError why not; nothing else."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings

from mixframe.base.errors import MixframeError

CASES = int(os.environ.get("MIXFRAME_FUZZ_CASES", "0"))
"""Of each door; 0 for the few that the suite has time for."""
SECONDS = 20.0
"""Of a processor, for one input."""
MEMORY = 1024 * 1024
"""KiB by which one input may raise the most memory that the process had."""


def budget(few: int) -> settings:
    """Return how many inputs a door is tried with: the same few, or new ones each time."""
    return settings(
        max_examples=CASES or few,
        derandomize=not CASES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of each file below a folder, None for a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def passes(door: Callable[[], object], folder: Path, written: frozenset[str] = frozenset()) -> bool:
    """Try one input.

    Args:
        folder: what the door may see; nothing in it may change but `written`.
        written: names of declared outputs.

    Returns:
        whether it was taken.

    Raises:
        AssertionError: a file changed, an error has no message, or a ceiling was broken.
        Exception: what the door raised, unless it is a MixframeError.
    """
    before, start = contents(folder), time.process_time()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = None
    try:
        door()
    except MixframeError as error:
        said = str(error).strip()
    taken = said is None
    assert said != "", "an error without a message"
    spent = time.process_time() - start
    assert spent < SECONDS, f"{spent:.1f} s"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
    assert grown < MEMORY, f"{grown / 1024:.0f} MiB more"
    after = contents(folder)
    changed = {
        name
        for name in before.keys() | after.keys()
        if (name in before) != (name in after) or before.get(name) != after.get(name)
    }
    assert changed <= written, f"changed: {sorted(changed - written)}"
    assert taken or not changed, f"refused, but wrote {sorted(changed)}"
    return taken
