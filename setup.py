"""The files of a project, which stand once, at the top of the repository, go into the package."""

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


def project_files() -> list[Path]:
    """Return the files that pyproject.toml lists for `mixframe init`."""
    patterns = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mixframe"]["project"]
    return sorted(path for pattern in patterns for path in Path().glob(pattern))


class BuildWithProject(build_py):
    """Copies them into a wheel, and names them for the source distribution."""

    def run(self) -> None:
        """Build the package; an editable one reads the files where they are."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "mixframe" / "project_files"
            shutil.rmtree(folder, ignore_errors=True)
            for path in project_files():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / path)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs."""
        return [*super().get_source_files(), *map(str, project_files())]


setup(cmdclass={"build_py": BuildWithProject})
