"""Energy of the machine's processors, where it tells: the RAPL counters that Linux shows.

They count joules of whole processor packages, whoever uses them, and start again from zero at a
range of their own, on a busy machine within the hour; so they are read every few seconds.
"""

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

COUNTERS = Path("/sys/class/powercap")
EVERY_SECONDS = 30.0


@dataclass
class Counter:
    """One processor package.

    Attributes:
        joules: counted since the object was made.
    """

    folder: Path
    joules: float = 0.0
    last: int = field(init=False)

    def __post_init__(self) -> None:
        self.last = self._number("energy_uj")

    def _number(self, name: str) -> int:
        return int((self.folder / name).read_text())

    def read(self) -> None:
        """Add what was counted since the last reading, at most one range of the counter."""
        now = self._number("energy_uj")
        spent = now - self.last
        if spent < 0:
            spent += self._number("max_energy_range_uj")
        self.joules += spent / 1e6
        self.last = now


def counters(root: Path = COUNTERS) -> list[Counter]:
    """Return the packages whose counters can be read; usually only root may."""
    found = []
    # intel-rapl:0 is a package; intel-rapl:0:0 a part of it that would be counted twice.
    for folder in sorted(root.glob("intel-rapl:*")):
        if folder.name.count(":") == 1:
            try:
                found.append(Counter(folder))
            except OSError:
                continue
    return found


class Meter:
    """Counts the energy of a block of code.

    Attributes:
        joules: of all packages from the start of the block to its end; None where the machine does
            not tell.
    """

    def __init__(self, root: Path = COUNTERS, every: float = EVERY_SECONDS) -> None:
        self.joules: float | None = None
        self._counters = counters(root)
        self._every = every
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            for counter in self._counters:
                counter.read()

    def __enter__(self) -> Self:
        if self._counters:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._counters:
            return
        self._ended.set()
        self._thread.join()
        for counter in self._counters:
            counter.read()
        self.joules = sum(counter.joules for counter in self._counters)
