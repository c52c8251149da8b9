"""Threads share one arena of memory."""

import ctypes
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from mixframe.base import memory

libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "keep":
    memory.keep()
together = threading.Barrier(4)

def allocate():
    together.wait()
    libc.malloc(ctypes.c_size_t(5000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="no glibc")
def test_threads_have_one_arena():
    arenas = {}
    for how in ("keep", "leave"):
        run = subprocess.run(
            [sys.executable, "-c", ARENAS, how], capture_output=True, text=True, check=True
        )
        arenas[how] = run.stdout.count("<heap nr=")
    assert arenas["keep"] == 1
    assert arenas["leave"] > 1
