"""Copy the result table of the demo into the README: `python -m benchmarks.readme`."""

import json
import re
from pathlib import Path

from mixframe.base.files import write_text


def main() -> None:
    """Replace what stands between the two table marks."""
    readme = Path("README.md")
    table = Path("results/demo/summary/table.md").read_text(encoding="utf-8")
    text = readme.read_text(encoding="utf-8")
    marks = r"(<!-- table:[^\n]*-->\n).*?(<!-- /table -->)"
    write_text(readme, re.sub(marks, rf"\1\n{table}\n\2", text, count=1, flags=re.DOTALL))
    print(json.dumps({"rows": table.count("\n") - 2}))


if __name__ == "__main__":
    main()
