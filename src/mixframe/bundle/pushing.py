"""Bundles on the Hugging Face hub."""

from pathlib import Path

from mixframe.base.errors import MixframeError
from mixframe.base.files import sha256_file
from mixframe.bundle.contents import CONTENTS, read_contents

README = "README.md"


def files_of(folder: Path) -> list[str]:
    """Return what goes to the hub: what bundle.json names, itself and README.md; no other file.

    Raises:
        MixframeError: the bundle is not whole.
    """
    names = {*read_contents(folder).files, CONTENTS}
    if (folder / README).is_file():
        names.add(README)
    return sorted(names)


def listing(folder: Path, repository: str) -> str:
    """Return what `upload` would send, a line a file: bytes, sha256 and path.

    Raises:
        MixframeError: the bundle is not whole.
    """
    names = files_of(folder)
    sizes = [(folder / name).stat().st_size for name in names]
    lines = [
        f"{size:>12,}  {sha256_file(folder / name)}  {name}"
        for name, size in zip(names, sizes, strict=True)
    ]
    total = f"{len(names)} files, {sum(sizes):,} bytes would go to {repository}; nothing was sent"
    return "\n".join([*lines, total])


def upload(folder: Path, repository: str) -> str:
    """Upload a bundle as one commit; the repository is made, private, where there is none.

    Args:
        repository: OWNER/NAME.

    Returns:
        the address of the commit.

    Raises:
        MixframeError: the bundle is not whole, or the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    names = files_of(folder)
    api = HfApi()
    try:
        api.create_repo(repository, repo_type="model", private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="model",
            folder_path=folder,
            allow_patterns=names,
            commit_message="A bundle of mixframe",
        )
    except (HFValidationError, HTTPError, OSError) as error:
        raise MixframeError(f"{repository}: not uploaded: {str(error).splitlines()[0]}") from error
    return str(commit.commit_url)
