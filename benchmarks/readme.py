"""Copy what the README shows of the demo out of its results: `python -m benchmarks.readme [NAME]`.

NAME is the folder in docs/results/ to copy to: demo, or seeds for a run of the demo over several.
It prints the differences that are supported; the README may claim no others.
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
    parser.add_argument("name", nargs="?", default="demo")
    shown = Path("docs/results") / parser.parse_args().name
    files = Layout("demo")
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
