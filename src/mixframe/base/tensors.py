"""Weights on disk: safetensors, and nothing that runs code when it is read."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mixframe.base.errors import MixframeError
from mixframe.base.files import atomic_path, need_file


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, names sorted, so that equal weights give equal bytes."""
    plain = {k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, metadata={"format": "pt"})


def load_tensors(path: Path, made_by: str) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        MixframeError: it is missing, and the message says that the stage `made_by` makes it; or it
            is cut or damaged.
    """
    path = need_file(path, made_by)
    try:
        return load_file(path)
    # An empty file cannot be mapped, which is an OSError or a ValueError.
    except (SafetensorError, OSError, ValueError) as error:
        raise MixframeError(f"{path}: no safetensors, cut or damaged ({error})") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of torch or transformers says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
