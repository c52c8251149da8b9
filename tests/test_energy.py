"""Energy counters: packages only, counters that start again, and machines that do not tell."""

import time
from pathlib import Path

from mixframe.base import energy


def package(root: Path, name: str, microjoules: int, top: int = 1_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{top}\n")
    return folder


def test_packages_are_summed_and_their_parts_left_out(tmp_path):
    first, second = package(tmp_path, "intel-rapl:0", 100), package(tmp_path, "intel-rapl:1", 500)
    part = package(tmp_path, "intel-rapl:0:0", 0)
    with energy.Meter(tmp_path) as meter:
        (first / "energy_uj").write_text("300100")
        (second / "energy_uj").write_text("500500")
        (part / "energy_uj").write_text("900000")
    assert meter.joules == 0.8


def test_a_counter_that_starts_again_goes_on(tmp_path):
    counter = energy.Counter(package(tmp_path, "intel-rapl:0", 900_000))
    for value in (950_000, 100_000, 100_000, 50_000):
        (counter.folder / "energy_uj").write_text(str(value))
        counter.read()
    assert counter.joules == 0.05 + 0.15 + 0.95


def test_a_counter_is_read_while_the_block_runs(tmp_path):
    folder = package(tmp_path, "intel-rapl:0", 900_000)
    with energy.Meter(tmp_path, every=0.01) as meter:
        for value in (200_000, 600_000, 100_000):
            # Renamed into place, because a reader must not find the file empty.
            (folder / "next").write_text(str(value))
            (folder / "next").replace(folder / "energy_uj")
            time.sleep(0.2)
    # Three readings more than the one at the end: once round the counter would be lost without.
    assert round(meter.joules, 6) == 0.3 + 0.4 + 0.5


def test_a_machine_that_does_not_tell(tmp_path):
    with energy.Meter(tmp_path / "none") as meter:
        pass
    assert meter.joules is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert energy.counters(tmp_path) == []
