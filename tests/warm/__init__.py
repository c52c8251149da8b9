"""Commands that need not import torch and the like anew: see `server`."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mixframe.cli import ENVIRONMENT

COMMANDS = ("dvc", "mixframe", "snakemake")


def start() -> Path:
    """Start a server that ends with this process.

    Returns:
        A folder with its commands, to come first in a PATH.
    """
    # Not below pytest's folder: the path of a socket has a hundred characters at most.
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    client = Path(__file__).with_name("client.py").read_text(encoding="utf-8")
    for command in COMMANDS:
        (folder / command).write_text(f"#!{sys.executable} -IS\n{client}", encoding="utf-8")
        (folder / command).chmod(0o755)
    variables = {**os.environ, **ENVIRONMENT}
    variables.pop("PYTHONPATH", None)
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("server.py"), folder / "socket"],
        env=variables,
        stdin=subprocess.PIPE,
    )
    atexit.register(_end, server, folder)
    while not (folder / "socket").is_socket():
        assert server.poll() is None, "the server ended"
        time.sleep(0.05)
    return folder


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait()
    shutil.rmtree(folder)
