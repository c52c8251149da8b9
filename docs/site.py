"""What mkdocs is told besides the pages of this folder; see mkdocs.yml.

The pages at the top of the repository are part of the site, the README as its first one; other
files that pages link to are copied into it. Each room of the package has a page, made of its
docstrings.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md"} | {
    name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
"""Pages at the top of the repository, and what they are called in the site."""

LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
SOURCE = "source"
"""Where the site has copies of files that are no pages."""


def rooms():
    """Yield the modules of the package that others may import, by the room they are in."""
    package = ROOT / "src" / "mixframe"
    for folder in sorted(path.parent for path in package.glob("*/__init__.py")):
        modules = sorted(folder.rglob("*.py"))
        names = [
            path.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".")
            for path in modules
            if not path.stem.startswith("_")
        ]
        yield folder.name, [f"mixframe.{folder.name}", *names]


def on_files(files, config):
    """Add what is not in docs/."""
    for path, name in PAGES.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_relinked(text, ROOT, files, config)))
    for room, names in rooms():
        blocks = "\n\n".join(f"::: {name}" for name in names)
        files.append(File.generated(config, f"api/{room}.md", content=f"# {room}\n\n{blocks}\n"))
    for file in list(files):
        if file.src_uri.endswith(".md") and file.abs_src_path:
            folder = Path(file.abs_src_path).parent
            text = _relinked(file.content_string, folder, files, config)
            files.remove(file)
            files.append(File.generated(config, file.src_uri, content=text))
    return files


def _relinked(text, folder, files: Files, config):
    """Let links out of docs/ lead to the site's own copies; dead ones stay for mkdocs to name."""

    def change(match):
        before, target, anchor, after = match.groups()
        path = (folder / target).resolve()
        if "://" in target or not path.exists() or not path.is_relative_to(ROOT):
            return match.group()
        name = path.relative_to(ROOT).as_posix()
        if name in PAGES:
            place = PAGES[name]
        elif path.is_relative_to(ROOT / "docs"):
            place = path.relative_to(ROOT / "docs").as_posix()
        elif path.is_dir():
            place = f"api/{path.name}.md"
        else:
            place = f"{SOURCE}/{name}.txt"
            if files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, content=path.read_bytes()))
        up = "../" * len(folder.relative_to(ROOT / "docs").parts) if folder != ROOT else ""
        return f"{before}{up}{place}{anchor or ''}{after}"

    return LINK.sub(change, text)
