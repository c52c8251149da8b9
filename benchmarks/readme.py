"""Copy what the README shows of the demo out of its results: `python -m benchmarks.readme`.

It prints the differences that are supported; the README may claim no others.
"""

import re
import shutil
from pathlib import Path

import pandas as pd

from mixframe.base.files import write_text
from mixframe.experiment.layout import Layout

SHOWN = Path("docs/results/demo")


def main() -> None:
    """Copy the table, the comparisons and the figures, and the tables into the README."""
    files = Layout("demo")
    SHOWN.mkdir(parents=True, exist_ok=True)
    figures = sorted(files.figure("det.png").parent.glob("*.png"))
    for path in (files.table, files.comparisons, files.summary, *figures):
        shutil.copyfile(path, SHOWN / path.name)
    readme = Path("README.md")
    text, table = readme.read_text(encoding="utf-8"), files.table.read_text(encoding="utf-8")
    marks = r"(<!-- table:[^\n]*-->\n).*?(<!-- /table -->)"
    write_text(readme, re.sub(marks, rf"\1\n{table}\n\2", text, count=1, flags=re.DOTALL))
    print(f"README.md: {table.count(chr(10))} lines; {SHOWN}: {3 + len(figures)} files")
    pairs = pd.read_csv(files.comparisons)
    for row in pairs[pairs["supported"]].to_dict("records"):
        print(
            f"supported: {row['set']}: {row['first']} - {row['second']}: {row['difference']:+.4f}"
        )
    print(f"{pairs['supported'].sum()} of {len(pairs)} differences are supported")


if __name__ == "__main__":
    main()
