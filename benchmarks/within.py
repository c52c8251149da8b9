"""Whether two runs of one preset differ by more than training anew does.

    python -m benchmarks.within summary.json OTHER/summary.json

Both are `summary/summary.json` of the same systems, sets and seeds, one of them computed elsewhere:
on a GPU, or on a processor that cannot be pinned (docs/reproducibility.md). Another rounding is
another training, as another seed is, on the same trials. So a mean EER may differ by
t * sqrt(a^2 + b^2), a and b its `eer_sd_training` in the two, t Student's quantile with 2 (seeds -
1) degrees of freedom, at 5 % for all systems and sets together (Bonferroni). Exit code 1 if one
differs by more.
"""

import sys
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from mixframe.base.files import read_json

LEVEL = 0.95


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return system, set, difference of the mean EER (second minus first) and tolerance.

    Raises:
        ValueError: other systems, sets or seeds, or one seed, of which nothing is known.
    """
    for key in ("systems", "sets", "seeds"):
        if list(first[key]) != list(second[key]):
            raise ValueError(f"{key}: {list(first[key])} in one, {list(second[key])} in the other")
    seeds, figures = len(first["seeds"]), len(first["systems"]) * len(first["sets"])
    if seeds < 2:
        raise ValueError("one seed: how far training alone moves a figure is not known")
    quantile = float(student.ppf(1 - (1 - LEVEL) / (2 * figures), 2 * (seeds - 1)))
    rows = []
    for system in first["systems"]:
        for name in first["sets"]:
            one, other = (run["systems"][system]["sets"][name] for run in (first, second))
            both = (one["eer_sd_training"] ** 2 + other["eer_sd_training"] ** 2) ** 0.5
            rows.append((system, name, other["eer"] - one["eer"], quantile * both))
    return rows


def main() -> None:
    """Print every figure, and whether all are within the tolerance."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        rows = compare(*(read_json(Path(name)) for name in sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
    beyond = 0
    for system, name, difference, tolerance in rows:
        mark = "" if abs(difference) <= tolerance else "  beyond"
        beyond += bool(mark)
        print(f"{system:36} {name:14} {100 * difference:+6.2f} of {100 * tolerance:5.2f}{mark}")
    print(f"{beyond} of {len(rows)} figures differ by more than another training does")
    sys.exit(beyond > 0)


if __name__ == "__main__":
    main()
