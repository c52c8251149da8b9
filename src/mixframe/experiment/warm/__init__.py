"""Stages that need not import torch and the like anew: `mixframe warm`, see `server`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mixframe.base import isa
from mixframe.base.errors import MixframeError

PACKAGES = (
    "accelerate",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pandas",
    "peft",
    "pyarrow.parquet",
    "pydantic",
    "safetensors.torch",
    "scipy.optimize",
    "scipy.signal",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.mixture",
    "soundfile",
    "torch",
    "torchaudio",
    "transformers.models.auto",
    "transformers.models.hubert.modeling_hubert",
)
"""What stages import, where it is there."""


@contextmanager
def started(
    variables: dict[str, str],
    commands: Sequence[str] = ("mixframe",),
    packages: Sequence[str] = PACKAGES,
) -> Iterator[Path]:
    """Start a server; it ends with this process.

    Args:
        variables: what it starts with; those of each command are its own.
        commands: of the environment, that the server runs.
        packages: it imports them first.

    Yields:
        A folder with the commands, to come first in a PATH.

    Raises:
        MixframeError: it does not start.
    """
    # The path of a socket has a hundred characters at most.
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    client = Path(__file__).with_name("client.py").read_text(encoding="utf-8")
    for command in commands:
        (folder / command).write_text(f"#!{sys.executable} -IS\n{client}", encoding="utf-8")
        (folder / command).chmod(0o755)
    # Of the imports' threads as well, see `mixframe.base.memory`.
    arena = {"MALLOC_ARENA_MAX": "1"}
    variables = {**variables, **arena, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    variables.pop("PYTHONPATH", None)
    isa.pin(variables)
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("server.py"), folder / "socket", *packages],
        env=variables,
        stdin=subprocess.PIPE,
        # Ctrl-C is for the command; the server ends behind it.
        start_new_session=True,
    )
    assert server.stdin is not None
    try:
        while not (folder / "socket").is_socket():
            if server.poll() is not None:
                raise MixframeError("the process that stages were to start from has ended")
            time.sleep(0.02)
        yield folder
    finally:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)


def run(command: Sequence[str]) -> int:
    """Run a command whose stages start warm; elsewhere than on Linux as it is.

    Returns:
        its exit code.

    Raises:
        MixframeError: there is no such command, or the server does not start.
    """
    if shutil.which(command[0]) is None:
        raise MixframeError(f"there is no command {command[0]}")
    # A fork of a process that holds other systems' frameworks may not go on.
    if sys.platform != "linux":
        return subprocess.run(command).returncode
    with started(dict(os.environ)) as folder:
        path = f"{folder}:{os.environ.get('PATH', os.defpath)}"
        process = subprocess.Popen(command, env={**os.environ, "PATH": path})
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            # The command hears of Ctrl-C as well, and ends in its own time.
            with suppress(KeyboardInterrupt):
                return process.wait()
