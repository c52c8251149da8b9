"""Corpora as their authors publish them: fetched, or found where a lab keeps them.

Nothing is copied that can be read in place: an unpacked folder and plain tars stay where they are
and as they are. Compressed archives are unpacked into data/<corpus>/, checked member by member.
"""

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from mixframe.audio.io import AudioRef
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import need_space, stage_lock
from mixframe.base.folders import stored
from mixframe.base.progress import log
from mixframe.base.schema import Section
from mixframe.corpora import PUBLISHED, fetch, unpack
from mixframe.corpora.probe import Target, target
from mixframe.corpora.source import Corpus, Part, PublishedSection, in_place, pin

GIB = 2**30

PublishedName: Any = Literal[*PUBLISHED]


class Archive(Section):
    """One file to fetch.

    Attributes:
        url: its address; "" for its name below each of `Download.addresses`.
        checksum: "sha256:<hex>" or "md5:<hex>"; "" where none is known.
        bytes: its size; 0 where it is not known.
    """

    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")]
    checksum: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?$")]
    bytes: Annotated[int, Field(ge=0)]


class Download(PublishedSection):
    """Where a corpus comes from.

    Attributes:
        path: a folder with the unpacked corpus or its archives, which is only read; it wins over
            every address. "" where there is none.
        addresses: folders on servers, tried in this order for archives without a url.
        archives: by file name.
        disk_gb: what archives and unpacked files take together, checked before anything starts.
    """

    kind: PublishedName
    path: str
    addresses: list[Annotated[str, Field(pattern=r"^https?://\S+/$")]]
    archives: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")], Archive]
    disk_gb: Annotated[int, Field(ge=0)]

    def urls(self, name: str) -> list[str]:
        """Return the addresses of an archive."""
        own = self.archives[name].url
        return [own] if own else [f"{address}{name}" for address in self.addresses]


def download(params: Download, folder: Path) -> dict[str, Any]:
    """Make a corpus available and pin its protocols.

    Args:
        folder: where archives and what is unpacked of them go, data/<corpus>.

    Returns:
        kind; roots: folders and plain tars to look for audio in; files: path, bytes and sha256 of
        the protocols and, in `asv`, of the verification scores that are there.

    Raises:
        MixframeError: `path` is no folder or holds nothing of the corpus; the disk is too small;
            an archive cannot be fetched, is not the expected one, or is not safe to unpack. The
            message says what to fetch by hand and where to put it.
    """
    corpus = PUBLISHED[params.kind]
    log(f"  {corpus.title}: {corpus.page}; licence: {corpus.licence}")
    with stage_lock(folder / ".lock", f"download of {corpus.title}"):
        if params.path:
            roots = _local(params, corpus, folder)
        else:
            _fetch(params, corpus, folder)
            roots = [root for name in params.archives for root in _open(folder / name, folder)]
    protocols = [path for part in corpus.parts.values() for path in find(roots, part.protocol)]
    if not protocols:
        names = ", ".join(part.protocol for part in corpus.parts.values())
        raise MixframeError(
            f"{params.path or folder}: none of the protocols of {corpus.title} in it ({names}); "
            f"{_by_hand(params, corpus)}"
        )
    asv = [path for name in corpus.asv for path in find(roots, name)]
    return {
        "kind": params.kind,
        "roots": [stored(root) for root in roots],
        "files": [pin(path) for path in protocols],
        "asv": [pin(path) for path in asv],
    }


def _by_hand(params: Download, corpus: Corpus) -> str:
    names = ", ".join(params.archives) or "the corpus"
    return (
        f"by hand: fetch {names} from {corpus.page} into a folder and write it into the key "
        "`path` of the preset; an unpacked folder will do as well"
    )


def _fetch(params: Download, corpus: Corpus, folder: Path) -> None:
    """Bring every archive into `folder` that is not there, fetched or unpacked."""
    absent = [name for name in params.archives if not _target(folder / name, folder).exists()]
    here = sum((folder / name).stat().st_size for name in absent if (folder / name).is_file())
    if absent:
        try:
            need_space(folder, params.disk_gb * GIB - here, f"{corpus.title} with its archives")
        except MixframeError as error:
            raise MixframeError(f"{error}; on another disk, {_by_hand(params, corpus)}") from error
    failures = []
    for name in absent:
        archive = params.archives[name]
        reasons = []
        for url in params.urls(name):
            try:
                fetch.download(
                    url, folder / name, archive.checksum or None, archive.bytes or None, name
                )
                break
            except MixframeError as error:
                reasons.append(f"{name}: {error}")
        else:
            failures += reasons or [f"{name}: the preset has no address for it"]
    if failures:
        raise MixframeError(
            f"{corpus.title} could not be fetched\n{listing(failures)}\n"
            f"{_by_hand(params, corpus)}, or put the files into {folder}/"
        )


def _local(params: Download, corpus: Corpus, folder: Path) -> list[Path]:
    source = in_place(params.path, folder)
    if not source.is_dir():
        raise MixframeError(f"path = {params.path}: no such folder; {_by_hand(params, corpus)}")
    unpacked = all(
        find([source], part.protocol) and audio_folders([source], part, source)
        for part in corpus.parts.values()
    )
    roots = [source]
    for name, archive in params.archives.items() if not unpacked else ():
        if (source / name).is_file():
            if not _target(source / name, folder).exists() or _is_tar(source / name):
                fetch.verify(source / name, archive.checksum or None, archive.bytes or None)
            roots += _open(source / name, folder)
    return roots


def _is_tar(archive: Path) -> bool:
    return archive.suffix == ".tar"


def _target(archive: Path, folder: Path) -> Path:
    """Return where the content of an archive is in the end: itself, if it is read in place."""
    return archive if _is_tar(archive) else folder / archive.name.split(".")[0]


def _open(archive: Path, folder: Path) -> list[Path]:
    """Return where to read the members of an archive, unpacked now if need be."""
    target = _target(archive, folder)
    if not target.exists():
        unpack.extract(archive, target)
    return [target]


def find(roots: Iterable[Path], ending: str) -> list[Path]:
    """Return the files below `roots` whose path ends in `ending`, sorted."""
    parts = PurePosixPath(ending).parts
    paths = [folder / parts[-1] for folder, files in _walk(roots) if parts[-1] in files]
    return sorted(path for path in paths if path.parts[-len(parts) :] == parts)


def audio_folders(roots: Iterable[Path], part: Part, protocol: Path) -> list[Path]:
    """Return the folders below `roots` that hold the audio of a part, sorted."""
    if not part.audio:
        return [protocol.parent]
    parts = PurePosixPath(part.audio).parts
    return sorted(f for f, _ in _walk(roots) if f.parts[-len(parts) :] == parts)


def _walk(roots: Iterable[Path]) -> Iterator[tuple[Path, list[str]]]:
    for root in roots:
        if root.is_dir():
            for folder, _, files in os.walk(root, followlinks=True):
                yield Path(folder), files


def audio(
    roots: Iterable[Path], part: Part, protocol: Path, suffix: str
) -> tuple[dict[str, Target], list[str]]:
    """List the audio of a part.

    Returns:
        the files by name without suffix, and a line for each name that is there twice.
    """
    roots = list(roots)
    files: dict[str, Target] = {}
    problems = []
    for name, item in _listed(roots, part, protocol):
        stem = name.removesuffix(suffix)
        if stem == name:
            continue
        if stem in files:
            problems.append(f"{item.ref.path}: {name} is in {files[stem].ref.path} already")
        files[stem] = item
    return files, problems


def _listed(roots: list[Path], part: Part, protocol: Path) -> Iterator[tuple[str, Target]]:
    for folder in audio_folders(roots, part, protocol):
        place = stored(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    yield entry.name, target(AudioRef(f"{place}/{entry.name}"), entry.stat())
    ending = PurePosixPath(part.audio).parts
    for root in roots:
        if root.is_file():
            info = root.stat()
            for member in _members(root):
                *folders, name = PurePosixPath(member.name).parts
                if tuple(folders[-len(ending) :]) == ending:
                    ref = AudioRef(stored(root), member.offset_data, member.size)
                    yield name, target(ref, info)


def _members(archive: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(archive, "r:", tarinfo=unpack.TarHeader) as tar:
            for member in tar:
                # An AudioRef of 0 bytes would stand for the rest of the file.
                if member.isreg() and member.size:
                    yield member
                # tarfile remembers every member, which adds up to gigabytes.
                tar.members = []  # type: ignore[attr-defined]
    except tarfile.TarError as error:
        raise MixframeError(f"{archive}: not a tar, cut or damaged ({error})") from error
