"""Copy what the README shows of a preset out of its results: `python -m benchmarks.readme PRESET`.

It goes to docs/results/PRESET, and the table into the README where that shows it. The differences
that are supported are printed; the README may claim no others.
"""

import argparse
import re
import shutil
from pathlib import Path

import pandas as pd

from mixframe.base.files import write_text
from mixframe.experiment.layout import Layout


def main() -> None:
    """Copy the table, the comparisons and the figures, and the tables into the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="demo")
    files = Layout(parser.parse_args().preset)
    shown = Path("docs/results") / files.preset
    shown.mkdir(parents=True, exist_ok=True)
    figures = sorted(files.figure("det.png").parent.glob("*.png"))
    for path in (files.table, files.comparisons, files.summary, *figures):
        shutil.copyfile(path, shown / path.name)
    readme = Path("README.md")
    text, table = readme.read_text(encoding="utf-8"), files.table.read_text(encoding="utf-8")
    marks = rf"(<!-- table: {shown.as_posix()}/[^\n]*-->\n).*?(<!-- /table -->)"
    text, n = re.subn(marks, rf"\1\n{table}\n\2", text, count=1, flags=re.DOTALL)
    write_text(readme, text)
    print(f"README.md: {n} table; {shown}: {3 + len(figures)} files")
    pairs = pd.read_csv(files.comparisons)
    for row in pairs[pairs["supported"]].to_dict("records"):
        print(
            f"supported: {row['set']}: {row['first']} - {row['second']}: {row['difference']:+.4f}"
        )
    print(f"{pairs['supported'].sum()} of {len(pairs)} differences are supported")


if __name__ == "__main__":
    main()
