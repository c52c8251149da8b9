"""Bona fide speech of the demo corpus: the voices of the Asterisk core sounds.

Studio recordings as 16 kHz G.722, CC-BY-SA 3.0 (ru: CC-BY 3.0), packaged alike by Debian, Ubuntu
and the Asterisk project. Whichever source serves a voice, what is kept is one tar with fixed
bytes, so a preset pins the speech itself and not a package of it.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mixframe.audio.io import TarWriter
from mixframe.base.errors import MixframeError, listing
from mixframe.base.files import atomic_path, sha256_file, stage_lock
from mixframe.base.progress import log
from mixframe.base.schema import Section
from mixframe.corpora import fetch, unpack
from mixframe.corpora.source import pin

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
MAX_BYTES = 2**28
"""Most bytes a package may unpack to; the largest of version 1.6.1 has 15 MB."""
APT_OPTIONS = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1")
NEEDS_UPDATE = ("Unable to locate", "was not found", "Can't find a source", "404  Not Found")
"""What apt-get says where it has no package lists, as in a fresh container, or outdated ones."""
AR_MAGIC, AR_HEADER = b"!<arch>\n", 60


class Voice(Section):
    """One voice.

    Attributes:
        language: the language in package names: en, es, fr, it or ru.
        sha256: of the tar that `download` writes.
    """

    language: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Download(Section):
    """Where the voices come from.

    Attributes:
        sources: tried in this order for each voice: "folder"; "debian", the package by apt-get,
            which needs no root; "upstream", the archive by HTTP.
        folder: a folder with `<voice>/` folders, Debian packages or upstream archives; "" if none.
        upstream: address of the folder with the upstream archives.
        version: of the sounds.
        voices: by the name of their folder in the packages.
    """

    kind: Literal["demo"]
    sources: Annotated[list[Literal["folder", "debian", "upstream"]], Field(min_length=1)]
    folder: str
    upstream: Annotated[str, Field(pattern=r"^https?://")]
    version: Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.]*$")]
    voices: Annotated[dict[Name, Voice], Field(min_length=1)]

    @field_validator("sources")
    @classmethod
    def _once(cls, sources: list[str]) -> list[str]:
        if len(set(sources)) < len(sources):
            raise ValueError("a source is named twice")
        return sources

    def package(self, voice: str) -> str:
        """Return the name of a voice's package, without its version."""
        return f"asterisk-core-sounds-{self.voices[voice].language}-g722"

    def archive(self, voice: str) -> str:
        """Return the file name of a voice's upstream archive."""
        return f"{self.package(voice)}-{self.version}.tar.gz"


def download(params: Download, folder: Path) -> dict[str, Any]:
    """Leave one tar a voice, `<voice>.tar`, in `folder`.

    The tar is uncompressed USTAR: members `<voice>/<relative path>.g722` sorted by name, mode
    644, no owner, times at 0; licence texts and everything else are left out. A tar that is there
    and has the pinned sha256 is only verified, so an interrupted run goes on with the voices it
    lacks.

    Returns:
        {"kind": "demo", "files": [{"path", "bytes", "sha256"}]}, a file a voice in the order of
        `params`. Which source served a voice is printed and not returned: it says nothing about
        the content.

    Raises:
        MixframeError: another process is at work in `folder`, or no source served a voice with
            the pinned content; the message has each source's reason.
    """
    work = folder / ".work"
    failures = []
    with stage_lock(folder / ".lock", "download of the demo corpus"):
        sources = _sources(params, folder)
        try:
            for voice in params.voices:
                failures += _provide(params, voice, folder / f"{voice}.tar", work, sources)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if failures:
        raise MixframeError(
            f"{folder}: not all voices of the demo corpus could be fetched\n{listing(failures)}\n"
            f"By hand: put the Debian packages asterisk-core-sounds-<language>-g722, version "
            f"{params.version}, or the archives of the same names from {params.upstream} into a "
            "folder, write it into the key 'folder' and have 'folder' among the 'sources'"
        )
    return {"kind": "demo", "files": [pin(folder / f"{voice}.tar") for voice in params.voices]}


Source = Callable[[str, Path], Path]
"""Takes a voice and an empty folder to work in; returns the folder with the voice's prompts."""


def _sources(params: Download, folder: Path) -> dict[str, Source]:
    apt = _Apt()

    def debian(voice: str, work: Path) -> Path:
        return _unpack_deb(apt.download(params.package(voice), params.version, work), work)

    def upstream(voice: str, work: Path) -> Path:
        name = params.archive(voice)
        # Kept outside the work folder, so that a later run goes on with a cut transfer.
        path = folder / name
        fetch.download(f"{params.upstream.rstrip('/')}/{name}", path, what=name)
        try:
            return _unpack(path, work)
        finally:
            path.unlink()

    def local(voice: str, work: Path) -> Path:
        return _local(params, voice, work)

    return {"debian": debian, "upstream": upstream, "folder": local}


def _provide(
    params: Download, voice: str, path: Path, work: Path, sources: dict[str, Source]
) -> list[str]:
    """Make the tar of one voice; return why each source failed, or nothing if one served."""
    expected = params.voices[voice].sha256
    if path.is_file():
        actual = sha256_file(path)
        if actual == expected:
            log(f"{voice}: there and verified")
            return []
        log(f"{voice}: {path} has sha256 {actual}, expected {expected}: fetching it again")
    failures = []
    for source in params.sources:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            n_prompts = _write_tar(voice, sources[source](voice, work), path, expected)
        except MixframeError as error:
            log(f"{voice}: not from source '{source}'")
            failures.append(f"{voice}, source '{source}': {error}")
        else:
            log(f"{voice}: {n_prompts} prompts from source '{source}'")
            return []
    return failures


def _write_tar(voice: str, root: Path, path: Path, expected: str) -> int:
    """Write the canonical tar of the prompts under `root`; return how many there are."""
    prompts = {f"{voice}/{p.relative_to(root).as_posix()}": p for p in root.rglob("*.g722")}
    with atomic_path(path) as temporary:
        with closing(TarWriter(temporary, str(path))) as writer:
            for name in sorted(prompts):
                writer.add(name, prompts[name].read_bytes())
        actual = sha256_file(temporary)
        if actual != expected:
            raise MixframeError(
                f"its {len(prompts)} prompts make a tar with sha256 {actual}, expected {expected}: "
                "another version or damaged"
            )
    return len(prompts)


def _root(folder: Path) -> Path:
    """Return the topmost folder that has prompts in it.

    Debian puts a voice into usr/share/asterisk/sounds/<voice>, upstream at the top of its
    archives; both have prompts in the voice's own folder as well as below it.

    Raises:
        MixframeError: there are none, or several such folders.
    """
    parents = {p.parent for p in folder.rglob("*.g722")}
    if not parents:
        raise MixframeError(f"{folder}: no .g722 files in it")
    depth = min(len(p.parts) for p in parents)
    roots = sorted(p for p in parents if len(p.parts) == depth)
    if len(roots) > 1:
        names = ", ".join(str(p.relative_to(folder)) for p in roots)
        raise MixframeError(f"{folder}: .g722 files of one voice expected, found {names}")
    return roots[0]


def _local(params: Download, voice: str, work: Path) -> Path:
    if not params.folder:
        raise MixframeError("the key 'folder' is empty")
    folder = Path(params.folder)
    if not folder.is_dir():
        raise MixframeError(f"{folder}: no such folder")
    if (folder / voice).is_dir():
        return _root(folder / voice)
    pattern = f"{params.package(voice)}_{params.version}-*.deb"
    packages = sorted(folder.glob(pattern))
    if packages:
        return _unpack_deb(packages[-1], work)
    archive = folder / params.archive(voice)
    if archive.is_file():
        return _unpack(archive, work)
    raise MixframeError(f"{folder}: has neither {voice}/ nor {pattern} nor {archive.name}")


class _Apt:
    """Packages by apt-get; the package lists are renewed once at most."""

    def __init__(self) -> None:
        self._updated = False

    def download(self, package: str, version: str, folder: Path) -> Path:
        """Fetch a package into `folder`.

        Raises:
            MixframeError: apt-get is absent, or failed; the message has what it said.
        """
        if shutil.which("apt-get") is None:
            raise MixframeError("apt-get is not installed")
        arguments = ("download", f"{package}={version}-*")
        problem = _apt_get(arguments, folder)
        if any(sign in problem for sign in NEEDS_UPDATE):
            if os.geteuid() != 0:
                raise MixframeError(f"{problem}; run `sudo apt-get update` once and start again")
            if not self._updated:
                self._updated = True
                log("apt-get update")
                renewal = _apt_get(("update",), folder)
                problem = _apt_get(arguments, folder)
                if problem and renewal:
                    problem += f"; apt-get update: {renewal}"
        if problem:
            raise MixframeError(problem)
        return next(folder.glob(f"{package}_*.deb"))


def _apt_get(arguments: tuple[str, ...], folder: Path) -> str:
    """Run apt-get in `folder`; return its errors (at least its status), or "" if all went well."""
    # The messages that are looked for are the English ones.
    done = subprocess.run(
        ["apt-get", *APT_OPTIONS, *arguments],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    if done.returncode and not lines:
        lines = [f"apt-get {arguments[0]} ended with status {done.returncode}"]
    return " ".join(line.removeprefix("E: ") for line in lines)


def _unpack(archive: Path, work: Path) -> Path:
    """Unpack the prompts of a tar; return the folder they start in."""
    tree = work / "tree"
    unpack.extract(archive, tree, lambda name: name.endswith(".g722"), max_bytes=MAX_BYTES)
    return _root(tree)


def _unpack_deb(package: Path, work: Path) -> Path:
    """Unpack the prompts of a Debian package; return the folder they start in.

    The content goes through `unpack.extract` in any case. dpkg-deb, where there is one, only takes
    it out of the package, since it knows compressions that Python 3.11 does not (zstd).
    """
    data = work / f"{package.stem}.tar"
    if shutil.which("dpkg-deb") is None:
        data.write_bytes(_deb_data(package))
    else:
        with data.open("wb") as out:
            done = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", str(package)],
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
        if done.returncode:
            raise MixframeError(f"{package}: dpkg-deb: {done.stderr.strip()}")
    return _unpack(data, work)


def _deb_data(package: Path) -> bytes:
    """Return the content of the member data.tar* of a Debian package (deb(5), ar(5)).

    Raises:
        MixframeError: not such a package, or cut before that member; a cut inside it shows when
            it is unpacked.
    """
    with package.open("rb") as stream:
        if stream.read(len(AR_MAGIC)) != AR_MAGIC:
            raise MixframeError(f"{package}: not a Debian package")
        while header := stream.read(AR_HEADER):
            name = header[:16].decode("latin-1").rstrip(" /")
            size = header[48:58].decode("latin-1").strip()
            if len(header) < AR_HEADER or header[58:] != b"`\n" or not size.isdecimal():
                raise MixframeError(f"{package}: damaged at byte {stream.tell() - len(header):,}")
            if name.startswith("data.tar"):
                if name.endswith(".zst"):
                    raise MixframeError(f"{package}: {name} can only be unpacked by dpkg-deb")
                return stream.read(int(size))
            # Members start at even bytes.
            stream.seek(int(size) + int(size) % 2, os.SEEK_CUR)
    raise MixframeError(f"{package}: no member data.tar in it")
