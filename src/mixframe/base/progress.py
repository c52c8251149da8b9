"""Progress that suits its reader: a bar with an ETA on a terminal, plain lines in a log."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

MIB = 2**20


def is_main() -> bool:
    """Tell whether this process speaks for its stage: the first one of several, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def log(message: str) -> None:
    """Print one line to standard error, above any bar."""
    if is_main():
        tqdm.write(message, file=sys.stderr)


def progress(
    items: Iterable[T],
    total: int,
    what: str,
    unit: str = "",
    initial: int = 0,
    every_seconds: float = 15.0,
) -> Iterator[T]:
    """Yield `items`, showing how many of `total` are done.

    Args:
        total: number of items, those done earlier (`initial`) included.
        what: what is being done, the bar's title.
        unit: what an item is called.
        every_seconds: how often a line is printed where standard error is no terminal.
    """
    if not is_main():
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(
            items, total=total, desc=what, unit=f" {unit}", initial=initial, dynamic_ncols=True
        )
        return
    start = last = time.monotonic()
    done = initial
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every_seconds and done < total:
            last = now
            left = (now - start) / (done - initial) * (total - done)
            log(f"{what}: {done:,} of {total:,} {unit} ({done / total:.0%}), {left:.0f} s left")
    log(f"{what}: {done:,} {unit} in {time.monotonic() - start:.1f} s")


def progress_bytes(positions: Iterable[int], n_bytes: int, what: str, start: int = 0) -> None:
    """Run `positions`, which yields the bytes done so far, showing its progress in MiB.

    Args:
        n_bytes: its last position; 0 if that is not known.
        start: bytes done earlier.
    """
    first, total = start // MIB, -(-n_bytes // MIB)

    def mebibytes() -> Iterator[None]:
        shown = first
        for position in positions:
            yield from [None] * (position // MIB - shown)
            shown = max(shown, position // MIB)
        yield from [None] * (total - shown)

    for _ in progress(mebibytes(), total, what, "MiB", initial=first):
        pass
