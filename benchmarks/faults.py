"""Kill the pipeline at random moments and see what is left: `python -m benchmarks.faults`.

In temporary clones of the working tree the preset smoke runs once undisturbed. Then stages run
alone, are killed at a moment drawn between their start and their end (SIGKILL to all their
processes, SIGTERM, SIGINT), and run again by the same command; and `dvc repro` and `snakemake` run
from nothing, are killed several times on their way, and go on by the same command to the end.
Whatever was killed, the results must have the bytes of the undisturbed run, and no file beside
them. Prints a table for docs/reliability.md.

The speech of the demo corpus is copied from data/demo where it is there.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mixframe.base.files import sha256_file
from mixframe.experiment.dag import Cell, read_stages

ROOT = Path(__file__).parents[1]
RESULTS = Path("results")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STAGES, DVC, SNAKEMAKE = WHAT = ("stages", "dvc", "snakemake")
ENGINES = {DVC: "dvc repro", SNAKEMAKE: "snakemake --cores {cores}"}
PATIENCE = 60.0
"""Seconds after which what does not end by a signal that asks is killed."""


@dataclass
class Row:
    """A row of the table.

    Attributes:
        kills: signals sent; of these `late` came when everything was done.
        cells: what was running.
        problems: differences from the undisturbed run, with the clone's folder.
    """

    kills: int = 0
    late: int = 0
    cells: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def main() -> None:
    """Kill, go on, compare, and print the table; exit with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="Of all kinds together.")
    parser.add_argument("--seed", type=int, default=0, help="Of the moments and the cells.")
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT))
    parser.add_argument("--per-run", type=int, default=5, help="Kills of an engine on its way.")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, help="Empty folder for the clones, which then stay.")
    options = parser.parse_args()
    # What a shell starts in the background ignores SIGINT, and so would all that is killed here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw = random.Random(options.seed)
    rows: dict[tuple[str, str], Row] = defaultdict(Row)
    with TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        calm = clone(base / "calm")
        start = time.monotonic()
        call(calm, ENGINES[DVC], options.cores)
        seconds = time.monotonic() - start
        print(f"undisturbed: {seconds:.0f} s", file=sys.stderr)
        expected = contents(calm)
        with suppress(KeyboardInterrupt):
            kill_all(base, expected, seconds, options, draw, rows)
    print(table(rows))
    problems = [problem for row in rows.values() for problem in row.problems]
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def kill_all(
    base: Path,
    expected: dict[str, str],
    seconds: float,
    options: argparse.Namespace,
    draw: random.Random,
    rows: dict[tuple[str, str], Row],
) -> None:
    """Kill stages and engines, each kind as often; Ctrl-C ends it, and what was done counts."""
    share = -(-options.kills // len(options.what))
    for what in options.what:
        if what == STAGES:
            folder = base / what
            shutil.copytree(base / "calm", folder, symlinks=True)
            kill_stages(folder, expected, share, draw, rows)
        else:
            command = ENGINES[what].format(cores=options.cores)
            for number, kills in enumerate(shares(share, options.per_run)):
                folder = clone(base / f"{what}-{number}")
                kill_engine(folder, what, command, expected, kills, seconds, draw, rows)
                if not options.keep:
                    shutil.rmtree(folder)


def shares(total: int, most: int) -> Iterator[int]:
    """Share out a number into parts of at most `most`."""
    while total > 0:
        yield min(total, most)
        total -= most


def clone(folder: Path) -> Path:
    """Copy the working tree without what git ignores, choose smoke, and return the folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    # The lock of other presets would only stand behind that of smoke.
    (folder / "dvc.lock").unlink(missing_ok=True)
    if (ROOT / "data" / "demo").is_dir():
        shutil.copytree(ROOT / "data" / "demo", folder / "data" / "demo")
    call(folder, "git init -q && sh workflow/mixframe use smoke", 1)
    return folder


def environment(cores: int) -> dict[str, str]:
    """Return the variables of a command: this Python's programs, and as many threads as cores."""
    programs = Path(sys.executable).parent
    given = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MIXFRAME_DATA")}
    path = f"{programs}:{os.environ['PATH']}"
    return given | {"PATH": path, "DVC_NO_ANALYTICS": "1", "MIXFRAME_THREADS": str(cores)}


def begin(folder: Path, command: str, cores: int) -> subprocess.Popen[str]:
    """Start a command whose processes are a group, and whose output is a file of the clone."""
    with (folder / "faults.log").open("a") as log:
        log.write(f"$ {command}\n")
        log.flush()
        return subprocess.Popen(
            command,
            shell=True,
            cwd=folder,
            env=environment(cores),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def call(folder: Path, command: str, cores: int) -> int:
    """Run a command to its end and return its status; what goes wrong is in faults.log."""
    return begin(folder, command, cores).wait()


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of the results, hidden ones too, by its path."""
    files = sorted(path for path in (folder / RESULTS).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def differences(folder: Path, expected: dict[str, str]) -> list[str]:
    """Say which files of the results are not those of the undisturbed run."""
    actual = contents(folder)
    return [
        f"{folder / name}: {'missing' if name not in actual else 'differs'}"
        if name in expected
        else f"{folder / name}: left behind"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def disturb(running: subprocess.Popen[str], after: float, sent: signal.Signals) -> bool:
    """Send a signal to a group after some seconds; tell whether it was still running.

    SIGTERM goes to the first process alone, as engines and batch systems send it; SIGINT to all, as
    a terminal does.
    """
    with suppress(subprocess.TimeoutExpired):
        running.wait(after)
        return False
    with suppress(ProcessLookupError):
        if sent == signal.SIGTERM:
            running.send_signal(sent)
        else:
            os.killpg(running.pid, sent)
    with suppress(subprocess.TimeoutExpired):
        running.wait(PATIENCE)
    # What a killed parent left must not go on beside the next run.
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    return True


def kill_stages(
    folder: Path,
    expected: dict[str, str],
    kills: int,
    draw: random.Random,
    rows: dict[tuple[str, str], Row],
) -> None:
    """Kill cells of a finished clone that run alone, each followed by the same command."""
    with chdir(folder):
        cells = [cell for stage in read_stages() for cell in stage.cells.values()]
    seconds: dict[str, float] = {}
    for number in range(kills):
        cell, sent = draw.choice(cells), SIGNALS[number % len(SIGNALS)]
        if cell.name not in seconds:
            start = time.monotonic()
            call(folder, cell.command, 1)
            seconds[cell.name] = time.monotonic() - start
        row = rows[STAGES, sent.name]
        remove(folder, cell)
        hit = disturb(begin(folder, cell.command, 1), draw.random() * seconds[cell.name], sent)
        row.kills += 1
        row.late += not hit
        row.cells.add(cell.name.partition("@")[0])
        status = call(folder, cell.command, 1)
        found = differences(folder, expected)
        if status:
            found.append(f"{folder}: {cell.command} ends with status {status}")
        row.problems += found
        print(f"{number + 1}: {sent.name} {cell.name}: {found or 'equal'}", file=sys.stderr)


def remove(folder: Path, cell: Cell) -> None:
    """Remove the outputs of a cell, as engines do before they run it."""
    for name in cell.outputs:
        (folder / name).unlink(missing_ok=True)


def kill_engine(
    folder: Path,
    what: str,
    command: str,
    expected: dict[str, str],
    kills: int,
    seconds: float,
    draw: random.Random,
    rows: dict[tuple[str, str], Row],
) -> None:
    """Kill an engine several times on its way from nothing to all results.

    Args:
        seconds: that the whole way takes.
    """
    for number in range(kills):
        sent = SIGNALS[number % len(SIGNALS)]
        row = rows[what, sent.name]
        row.kills += 1
        row.late += not disturb(
            begin(folder, command, 1), draw.random() * 2 * seconds / kills, sent
        )
        row.cells.add(what)
        print(f"{what} {number + 1}: {sent.name}", file=sys.stderr)
    status = call(folder, command, 1)
    found = differences(folder, expected)
    if status:
        found.append(f"{folder}: {command} ends with status {status}")
    row.problems += found
    print(f"{what}: {found or 'equal'}", file=sys.stderr)


def table(rows: dict[tuple[str, str], Row]) -> str:
    """Return the section of docs/reliability.md."""
    lines = [
        "## Killed at any moment",
        "",
        "| Killed | Signal | Kills | Of these after the end | Different files |",
        "|---|---|---:|---:|---:|",
    ]
    for (what, sent), row in sorted(rows.items()):
        title = f"{len(row.cells)} stages, alone" if what == STAGES else f"`{what}`"
        lines.append(f"| {title} | {sent} | {row.kills} | {row.late} | {len(row.problems)} |")
    total = sum(row.kills for row in rows.values())
    return "\n".join([*lines, "", f"{total} kills by `python -m benchmarks.faults`."])


if __name__ == "__main__":
    main()
