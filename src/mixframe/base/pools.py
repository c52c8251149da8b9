"""Work shared out to processes or threads, its results in order."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from mixframe.base.errors import MixframeError

A = TypeVar("A")
B = TypeVar("B")


def processes(count: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes, each single-threaded, that end with this one."""
    # A forked child inherits the locks of threads that it does not have, torch's among them.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=_begin)


def ordered(
    pool: Executor, function: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    """Yield `function` of each item in order, at most `ahead` of them under way.

    Raises:
        MixframeError: a worker process died.
    """
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise MixframeError(
            "a worker process died, most likely for lack of memory; run with fewer workers"
        ) from error
    finally:
        for future in waiting:
            future.cancel()


def _begin() -> None:
    """Keep torch to one thread, and end when the parent is gone; killed, it cannot say so."""
    # Torch reads this when a worker first imports it.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
