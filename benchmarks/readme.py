"""Copy what the README shows of the demo out of its results: `python -m benchmarks.readme`."""

import re
import shutil
from pathlib import Path

from mixframe.base.files import write_text
from mixframe.experiment.layout import Layout

SHOWN = Path("docs/results/demo")


def main() -> None:
    """Copy the table, the comparisons and the figures, and the table into the README."""
    files = Layout("demo")
    SHOWN.mkdir(parents=True, exist_ok=True)
    figures = sorted(files.figure("det.png").parent.glob("*.png"))
    for path in (files.table, files.comparisons, files.summary, *figures):
        shutil.copyfile(path, SHOWN / path.name)
    readme = Path("README.md")
    text, table = readme.read_text(encoding="utf-8"), files.table.read_text(encoding="utf-8")
    marks = r"(<!-- table:[^\n]*-->\n).*?(<!-- /table -->)"
    write_text(readme, re.sub(marks, rf"\1\n{table}\n\2", text, count=1, flags=re.DOTALL))
    print(f"README.md: {table.count(chr(10)) - 2} rows; {SHOWN}: {3 + len(figures)} files")


if __name__ == "__main__":
    main()
