"""`snakemake --lint` without the points that do not apply here: `python workflow/lint.py`."""

import re
import subprocess
import sys

ACCEPTED = {
    "Specify a conda environment or container for each rule.": (
        "every stage runs in the environment of the repository, pinned in requirements.lock"
    ),
}


def main() -> int:
    """Print what is left and return 1 if there is anything."""
    done = subprocess.run(["snakemake", "--lint"], capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    points = re.findall(r"^Lints for (.*):\n((?:(?:    .*)?\n)+)", text, re.M)
    found = [
        (place, p) for place, some in points for p in re.findall(r"^    \* (.*):$", some, re.M)
    ]
    left = [(place, point) for place, point in found if point not in ACCEPTED]
    for place, point in left:
        print(f"{place}: {point}")
    if done.returncode and not found:
        print(text)
    return 1 if left or (done.returncode and not found) else 0


if __name__ == "__main__":
    sys.exit(main())
