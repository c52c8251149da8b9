"""README.md of a bundle."""

from pathlib import Path
from mixframe.bundle.contents import Contents


def write_card(folder: Path, contents: Contents) -> None:
    (folder / "README.md").write_text("# x\n")
