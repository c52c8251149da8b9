"""Whether results are the same bytes where libraries are told to choose other code.

    python -m benchmarks.dispatch [LEVEL ...]

Runs every stage of the preset smoke that makes a number, from the corpus to the scores, votes and
embeddings, once as it is and once at each level, and compares all files. A level is a set of
variables in the environment that the libraries would obey; the pin (`mixframe.base.isa`) must win
over them. At the levels that end in `, native` there is no pin: what differs there shows that the
level has an effect on this processor. The stages of a level run in one process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mixframe.base import isa
from mixframe.base.files import sha256_file
from mixframe.experiment.params import Grid, read_preset
from mixframe.experiment.project import init

PRESET = "smoke"
LOWER = {
    "ATen": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "MKL": {"MKL_CBWR": "COMPATIBLE"},
    "OpenBLAS": {"OPENBLAS_CORETYPE": "Nehalem"},
    "numpy": {"NPY_DISABLE_CPU_FEATURES": "X86_V3"},
}
"""By library, a level without AVX2."""
ALL_LOWER = {name: value for level in LOWER.values() for name, value in level.items()}
HIGHER = {
    "ATEN_CPU_CAPABILITY": "avx512",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX",
    "MKL_CBWR": "AVX512",
    "OPENBLAS_CORETYPE": "SkylakeX",
    "NPY_DISABLE_CPU_FEATURES": "",
}
NO_PIN = {isa.NATIVE: "native"}
LEVELS: dict[str, dict[str, str]] = {
    "all lower": ALL_LOWER,
    "all higher": HIGHER,
    "all lower, native": ALL_LOWER | NO_PIN,
    **{f"{name} lower, native": level | NO_PIN for name, level in LOWER.items()},
}
"""The variables of each level by its name."""
CHILD = """
import json, sys
from mixframe.cli import main
for arguments in json.loads(sys.argv[1]):
    if main.main(arguments, standalone_mode=False):
        sys.exit(f"mixframe {' '.join(arguments)} failed")
"""


def stages(grid: Grid) -> Iterator[list[str]]:
    """Yield the commands that make a number, in an order in which they can run."""
    yield from (["download"], ["protocol"], ["pretrain"], ["splice", "--policy", "heldout"])
    for system in grid.posttrained:
        yield ["splice", "--policy", system]
        yield ["posttrain", "--system", system]
        yield ["embed", "--system", system]
    for system in grid.system:
        yield ["finetune", "--system", system]
        yield from (["score", "--system", system, "--set", name] for name in grid.set)
    yield from (["vote", "--system", system] for system in grid.voting)
    yield from (["score_frames", "--system", system] for system in grid.localising)


def results(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Run all stages in a new project and return the sha256 of every result by its path."""
    init(folder)
    mixframe = [sys.executable, "-m", "mixframe"]
    subprocess.run([*mixframe, "use", PRESET], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    ambient = {name: value for name, value in os.environ.items() if name not in isa.PINS}
    ambient.setdefault("MIXFRAME_DATA", str(Path("data").absolute()))
    commands = json.dumps(list(stages(read_preset(PRESET).grid)))
    run = subprocess.run(
        [sys.executable, "-c", CHILD, commands],
        cwd=folder,
        env=ambient | variables,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stderr)
    root = folder / "results" / PRESET
    paths = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    # `mixframe use` leaves the hashes of the code, which are no results.
    return {name: sha256_file(p) for name, p in paths.items() if not name.startswith("code")}


def main() -> None:
    """Print, for each level, how many files differ and of which folders they are."""
    names = sys.argv[1:] or list(LEVELS)
    if not set(names) <= set(LEVELS):
        sys.exit(f"levels: {', '.join(LEVELS)}")
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        here = results(Path(folder) / "here", {})
        for place, name in enumerate(names):
            start = time.perf_counter()
            made = results(Path(folder) / str(place), LEVELS[name])
            other = sorted(p for p in here.keys() | made.keys() if here.get(p) != made.get(p))
            where = Counter(path.partition("/")[0] for path in other)
            shown = ", ".join(f"{part} {count}" for part, count in where.items())
            seconds = time.perf_counter() - start
            print(f"{name}: {len(other)} of {len(here)} files differ, {seconds:.0f} s; {shown}")
            report[name] = other
    print(json.dumps({"files": len(here), "differ": report}))


if __name__ == "__main__":
    main()
