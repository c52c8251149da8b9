"""The packages of the extra `demo`: what attacks need and nothing else does."""

from importlib import import_module
from typing import Any

from mixframe.base.errors import MixframeError

PACKAGES = {
    "espeakng_loader": "espeakng-loader",
    "parselmouth": "praat-parselmouth",
    "pyworld": "pyworld",
}
"""What is installed, by the module that is imported."""


class NotInstalled(MixframeError):
    """A package of the extra is not there."""


def need(module: str) -> Any:
    """Import one of these modules.

    Raises:
        NotInstalled: the package is not there.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise NotInstalled(
            f"{PACKAGES[module]} is not installed: attacks of the demo corpus need the extra "
            "`demo` (docs/install.md)"
        ) from error
