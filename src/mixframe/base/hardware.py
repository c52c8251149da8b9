"""What this machine has, as its system tells it."""

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GIB = 2**30


class Gpu(NamedTuple):
    """A GPU as its driver describes it.

    Attributes:
        memory_gib: of the card.
        watts: its power limit; None where the driver does not say.
    """

    name: str
    memory_gib: float
    driver: str
    watts: float | None


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float:
    """Return how many processes wanted a core in the last minute; 0 where it is not told."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def memory_gib() -> float:
    """Return the memory of the machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (AttributeError, ValueError, OSError):
        return 0.0


def free_disk_gib(folder: Path) -> float:
    """Return the free space of the disk that a folder, there or not, is on."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free / GIB


def gpus() -> list[Gpu]:
    """Return NVIDIA's GPUs; none where there is no driver."""
    fields = "name,memory.total,driver_version,power.limit"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_gpus(done.stdout) if done.returncode == 0 else []


def parse_gpus(text: str) -> list[Gpu]:
    """Read what `nvidia-smi --query-gpu` prints; a value that is no number is not known."""
    cards = []
    for line in filter(str.strip, text.splitlines()):
        name, memory, driver, limit = (part.strip() for part in line.split(","))
        cards.append(Gpu(name, (_number(memory) or 0.0) / 1024, driver, _number(limit)))
    return cards


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class PeakMemory:
    """The most memory that this process has held since this was made.

    Where the system cannot forget an earlier peak, it is the most since the process began.
    """

    def __init__(self) -> None:
        """Begin."""
        with suppress(OSError):
            # Resets VmHWM: proc(5).
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def gib(self) -> float:
        """Return it."""
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return _peak_of_all_gib()
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        return peaks[0] * 1024 / GIB if peaks else _peak_of_all_gib()


def _peak_of_all_gib() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, else in KiB.
    return peak / GIB if platform.system() == "Darwin" else peak * 1024 / GIB
