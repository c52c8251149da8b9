"""What a door may do with an input: take it, or say in a MixframeError why not; nothing else."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from mixframe.base.errors import MixframeError

OPEN = float(os.environ.get("MIXFRAME_FUZZ_SECONDS", "0"))
"""Seconds for which each door is tried with new inputs; 0 for the few that the suite has time for,
the same ones each time."""
AT_ONCE = 200
"""Inputs between two looks at the clock."""
SECONDS = 20.0
"""Of a processor, for one input."""
MEMORY = 1024 * 1024
"""KiB by which one input may raise the most memory that the process had."""
LONGEST = 20_000
"""Characters of a message."""

inputs = 0
"""That were tried at all doors together."""


def tried(few: int, *drawn: SearchStrategy[Any]) -> Callable[[Callable[..., object]], None]:
    """Call the decorated function at once with inputs that are drawn: `few`, or for `OPEN` s."""

    def decorator(door: Callable[..., object]) -> None:
        until = time.monotonic() + OPEN
        test = settings(
            max_examples=AT_ONCE if OPEN else few,
            derandomize=not OPEN,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(given(*drawn)(door))
        test()
        while time.monotonic() < until:
            test()

    return decorator


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of each file below a folder, None for a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def passes(
    door: Callable[[], object],
    folder: Path,
    written: frozenset[str] = frozenset(),
    kept: frozenset[str] = frozenset(),
    named: str = "",
) -> bool:
    """Try one input.

    Args:
        folder: what the door may see; nothing in it may change but `written` and `kept`.
        written: names of declared outputs, files or folders, which come only if it is taken.
        kept: names of what may be left or change in any case.
        named: what a refusal names.

    Returns:
        whether it was taken.

    Raises:
        AssertionError: a file changed, an error says nothing or does not name what it should, or a
            ceiling was broken.
        Exception: what the door raised, unless it is a MixframeError.
    """
    global inputs
    inputs += 1
    before, start = contents(folder), time.process_time()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = None
    try:
        door()
    except MixframeError as error:
        said = str(error).strip()
    taken = said is None
    assert said != "", "an error without a message"
    assert said is None or (named in said and len(said) < LONGEST), said[:LONGEST]
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
    changed = {name for name in changed if not _inside(name, kept)}
    assert all(_inside(name, written) for name in changed), f"changed: {sorted(changed)}"
    assert taken or not changed, f"refused, but wrote {sorted(changed)}"
    return taken


def _inside(name: str, places: frozenset[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)
