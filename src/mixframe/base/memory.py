"""How much glibc keeps of what is freed, where there is a glibc.

Called before threads start: those that are there keep arenas of their own. It imports nothing but
the standard library.
"""

import ctypes

# Of glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8


def keep() -> None:
    """Keep what is freed, in one arena for all threads.

    A batch wants as much as the one before it; giving it back and getting it again page by page
    takes a fifth of the time of scoring. With an arena a thread, each keeps what others could use:
    a training of all weights of wav2vec 2.0 base takes 3.2 GiB instead of 5 (docs/performance.md).
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        for name, value in ((ARENA_MAX, 1), (MMAP_THRESHOLD, 2**25), (TRIM_THRESHOLD, 2**30)):
            option(name, value)
