"""Runs commands of the environment in forks of a process that has their packages imported.

Importing torch and transformers takes longer than many a cell. The command itself is what the
environment's `bin` has, with the caller's arguments, folder, variables and streams; mixframe is
imported anew each time, from where the caller's PYTHONPATH says. What the packages read when they
are imported (the pins of `mixframe.base.isa`) is set for all alike.
"""

import gc
import json
import multiprocessing
import os
import runpy
import site
import socket
import sys
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path


def serve(place: str, packages: list[str]) -> None:
    """Import packages, those that are there, and run what callers at a socket ask for.

    A fork attends to each caller; those that come before all is imported wait.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{place}.new")
    listener.listen(64)
    os.rename(f"{place}.new", place)
    for package in packages:
        with suppress(ImportError):
            import_module(package)
    # The forks share what is there until they write to it, which the collector would.
    gc.freeze()
    # Standard input ends when the process that started this one does.
    while wait([listener, sys.stdin.fileno()]) == [listener]:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            attend(caller)
        caller.close()
        collect()


def collect(flags: int = os.WNOHANG) -> None:
    """Count what commands that ended have used as used by this process."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, flags)[0]:
            pass


def attend(caller: socket.socket) -> None:
    """Run a command in a fork and tell its exit status; a caller that is killed takes it along."""
    _, streams, _, _ = socket.recv_fds(caller, 1, 3)
    asked = json.loads(caller.makefile().readline())
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=run, args=(streams,), kwargs=asked)
    process.start()
    if caller in wait([caller, process.sentinel]):
        process.kill()
    process.join()
    with suppress(BrokenPipeError):
        caller.sendall(str(process.exitcode).encode())
    os._exit(0)


def run(streams: list[int], command: list[str], folder: str, variables: dict[str, str]) -> None:
    """Do what the command of the environment does in a process of its own."""
    for i, stream in enumerate(streams):
        os.dup2(stream, i)
        os.close(stream)
    # In the place of the nothing that multiprocessing has put there.
    sys.stdin = os.fdopen(0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    script = str(Path(sys.executable).parent / command[0])
    sys.argv[:] = [script, *command[1:]]
    path = filter(None, variables.get("PYTHONPATH", "").split(":"))
    sys.path[:1] = [str(Path(script).parent), *path]
    sys.modules.pop("sitecustomize", None)
    site.execsitecustomize()
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
    collect(flags=0)
