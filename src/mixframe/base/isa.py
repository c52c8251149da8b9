"""One instruction set for everything that makes a number: docs/reproducibility.md.

Several libraries choose their code by the processor, and with it how sums are rounded. Their
variables are set before they are imported; nothing here imports more than the standard library.
"""

import os
import platform
import sys
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path

NATIVE = "MIXFRAME_ISA"
"""Set to `native` in the environment of a process that lets libraries choose."""

PINS = {
    # PyTorch's own kernels, and the random numbers that weights are drawn from.
    "ATEN_CPU_CAPABILITY": "avx2",
    # oneDNN: convolutions.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # Intel MKL: PyTorch's matrix products.
    "MKL_CBWR": "AVX2",
    # OpenBLAS: matrix products and decompositions of numpy, scipy and scikit-learn.
    "OPENBLAS_CORETYPE": "Haswell",
    # numpy's own loops: what lies above AVX2.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
"""Variables that keep a library to AVX2 with FMA."""


@cache
def supported() -> bool:
    """Return whether this processor has AVX2 and FMA; without them nothing can be pinned."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:  # Not Linux: every such processor since 2015 has them.
        return True
    return "avx2" in flags and "fma" in flags


def pin(environment: MutableMapping[str, str]) -> None:
    """Set the variables, whatever they were, unless the environment asks for `native`."""
    if supported() and environment.get(NATIVE) != "native":
        environment.update(PINS)


def current() -> str:
    """Return the instruction set that this process computes with: avx2, or native."""
    return "avx2" if PINS.items() <= os.environ.items() else "native"


def begin_again() -> None:
    """Start this command once more, without the pins; return where it runs without them.

    By the time a preset is read, numpy has read its variables.
    """
    if os.environ.get(NATIVE) != "native":
        ambient = {k: v for k, v in os.environ.items() if k not in PINS}
        command = [sys.executable, "-m", "mixframe", *sys.argv[1:]]
        os.execve(sys.executable, command, {**ambient, NATIVE: "native"})
