"""Corpora as their authors publish them: fetched, or found where a lab keeps them.

Nothing is copied that can be read in place: an unpacked folder and plain tars stay where they are
and as they are. Compressed archives are unpacked into data/<corpus>/, checked member by member.
"""

import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from mixframe.audio.io import AudioRef
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import need_space, stage_lock
from mixframe.base.folders import stored
from mixframe.base.progress import log
from mixframe.base.schema import Count, Section
from mixframe.corpora import PUBLISHED, fetch, unpack
from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.probe import Target, target
from mixframe.corpora.source import Corpus, Part, PublishedSection, in_place, pin

GIB = 2**30

PublishedName: Any = Literal[*PUBLISHED]


class Archive(Section):
    """One file to fetch.

    Attributes:
        url: its address; "" for its name below each of the addresses of `Download`.
        checksum: "sha256:<hex>" or "md5:<hex>"; "" where none is known.
        bytes: its size; 0 where it is not known.
    """

    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")]
    checksum: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})?$")]
    bytes: Count


class Fetched(PublishedSection):
    """Where a corpus comes from.

    Attributes:
        path: a folder with the unpacked corpus or its archives, which is only read; it wins over
            every address. "" where there is none.
        addresses: folders on servers, tried in this order for archives without a url.
        archives: by file name.
        disk_gb: what archives and unpacked files take together, checked before anything starts; no
            archive of unknown size may be larger.
    """

    path: str
    addresses: list[Annotated[str, Field(pattern=r"^https?://\S+/$")]]
    archives: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")], Archive]
    disk_gb: Count


class Download(Fetched):
    """Where a corpus comes from whose protocols have a line a trial."""

    kind: PublishedName


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
    return bring(params, PUBLISHED[params.kind], folder)


def bring(params: Fetched, corpus: Corpus | PartialCorpus, folder: Path) -> dict[str, Any]:
    """Make a corpus available like `download`, whatever its protocols are like."""
    log(f"  {corpus.title}: {corpus.page}; licence: {corpus.licence}")
    with stage_lock(folder / ".lock", f"download of {corpus.title}"):
        if params.path:
            roots = _local(params, corpus, folder)
        else:
            _fetch(params, corpus, folder)
            paths = [folder / name for name in params.archives]
            roots = [_open(path, _target(path)) for path in paths]
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


def _by_hand(params: Fetched, corpus: Corpus | PartialCorpus) -> str:
    names = ", ".join(params.archives) or "the corpus"
    return (
        f"by hand: fetch {names} from {corpus.page} into a folder and write it into the key "
        "`path` of the preset; an unpacked folder will do as well"
    )


def _fetch(params: Fetched, corpus: Corpus | PartialCorpus, folder: Path) -> None:
    """Bring every archive into `folder` that is not there, fetched or unpacked."""
    absent = [folder / name for name in params.archives if not _target(folder / name).exists()]
    here = sum(path.stat().st_size for path in absent if path.is_file())
    if absent:
        try:
            need_space(folder, params.disk_gb * GIB - here, f"{corpus.title} with its archives")
        except MixframeError as error:
            raise MixframeError(f"{error}; on another disk, {_by_hand(params, corpus)}") from error
    failures = []
    for path in absent:
        archive = params.archives[path.name]
        urls = [archive.url] if archive.url else [f"{a}{path.name}" for a in params.addresses]
        reasons = []
        for url in urls:
            try:
                fetch.download(
                    url, path, archive.checksum, archive.bytes, max_bytes=params.disk_gb * GIB
                )
                break
            except MixframeError as error:
                reasons.append(f"{path.name}: {error}")
        else:
            failures += reasons or [f"{path.name}: the preset has no address for it"]
    if failures:
        raise MixframeError(
            f"{corpus.title} could not be fetched\n{listing(failures)}\n"
            f"{_by_hand(params, corpus)}, or put the files into {folder}/"
        )


def _local(params: Fetched, corpus: Corpus | PartialCorpus, folder: Path) -> list[Path]:
    source = in_place(params.path, folder)
    if not source.is_dir():
        raise MixframeError(f"path = {params.path}: no such folder; {_by_hand(params, corpus)}")
    unpacked = all(
        find([source], part.protocol) and audio_folders([source], part, source)
        for part in corpus.parts.values()
    )
    roots = [source]
    for name, archive in params.archives.items() if not unpacked else ():
        path = source / name
        if path.is_file():
            target = _target(path, folder)
            if target == path or not target.exists():
                fetch.verify(path, archive.checksum, archive.bytes)
            roots.append(_open(path, target))
    return roots


def _target(archive: Path, folder: Path | None = None) -> Path:
    """Return where the content of an archive is in the end: itself, if it is read in place."""
    if archive.suffix == ".tar":
        return archive
    return (folder or archive.parent) / archive.name.split(".")[0]


def _open(archive: Path, target: Path) -> Path:
    """Return where to read the members of an archive, unpacked on the way if need be."""
    if not target.exists():
        unpack.extract(archive, target)
    return target


def ends_in(path: PurePath, ending: str) -> bool:
    """Tell whether the last parts of a path are those of `ending`."""
    parts = PurePosixPath(ending).parts
    return path.parts[-len(parts) :] == parts


def find(roots: Iterable[Path], ending: str) -> list[Path]:
    """Return the folders and files at or below the folders `roots` that end in `ending`, sorted."""
    last = PurePosixPath(ending).name
    paths: list[Path] = []
    for root in roots:
        for folder, _, files in os.walk(root, followlinks=True):
            paths += [Path(folder), Path(folder, last)] if last in files else [Path(folder)]
    return sorted(path for path in paths if ends_in(path, ending))


def audio_folders(roots: Iterable[Path], part: Part, protocol: Path) -> list[Path]:
    """Return the folders below `roots` that hold the audio of a part, sorted."""
    return find(roots, part.audio) if part.audio else [protocol.parent]


def audio(
    roots: Sequence[Path], part: Part, protocol: Path, suffix: str
) -> Iterator[tuple[str, Target]]:
    """Yield the audio files of a part, each with its name without suffix."""
    for folder in audio_folders(roots, part, protocol):
        place = stored(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and entry.is_file():
                    ref = AudioRef(f"{place}/{entry.name}")
                    yield entry.name.removesuffix(suffix), target(ref, entry.stat())
    for root in roots:
        if root.is_file():
            place, info = stored(root), root.stat()
            for member in _members(root):
                path = PurePosixPath(member.name)
                if path.name.endswith(suffix) and ends_in(path.parent, part.audio):
                    ref = AudioRef(place, member.offset_data, member.size)
                    yield path.name.removesuffix(suffix), target(ref, info)


def _members(archive: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(archive, "r:", tarinfo=unpack.TarHeader) as tar:
            for member in tar:
                # An AudioRef of 0 bytes would stand for the rest of the file.
                if member.isreg() and member.size:
                    yield member
                # tarfile remembers every member, which adds up to gigabytes.
                tar.members = []  # type: ignore[attr-defined]
    except (*unpack.DAMAGE, OSError) as error:
        raise MixframeError(f"{archive}: not a tar, cut or damaged ({error})") from error
