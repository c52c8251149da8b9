"""Imports that take seconds, made a little quicker."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import modules without collecting garbage.

    What a module makes while it is imported stays until the process ends, so each collection looks
    at all of it in vain: a fifth of the start of a stage that trains.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
