"""Bona fide speech of the demo corpus: the voices of the Asterisk core sounds.

Studio recordings as 16 kHz G.722, CC-BY-SA 3.0 (ru: CC-BY 3.0), packaged alike by Debian, Ubuntu
and the Asterisk project. Whichever source serves a voice, what is kept is one tar with fixed
bytes, so a preset pins the speech itself and not a package of it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
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

    @cache
    def renew() -> str:
        log("apt-get update")
        return _apt_get(("update",), folder)

    debian = partial(_debian, renew=renew)
    sources: dict[str, Source] = {"debian": debian, "upstream": _upstream, "folder": _folder}
    with stage_lock(folder / ".lock", "download of the demo corpus"):
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


Source = Callable[[Download, str, Path], Path]
"""Takes a voice and an empty folder to work in; returns a folder with the voice's prompts."""


def _provide(
    params: Download, voice: str, path: Path, work: Path, sources: Mapping[str, Source]
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
            n_prompts = _write_tar(voice, sources[source](params, voice, work), path, expected)
        except MixframeError as error:
            log(f"{voice}: not from source '{source}'")
            failures.append(f"{voice}, source '{source}': {error}")
        else:
            log(f"{voice}: {n_prompts} prompts from source '{source}'")
            return []
    return failures


def _write_tar(voice: str, root: Path, path: Path, expected: str) -> int:
    """Write the canonical tar of the prompts of `root`; return how many there are.

    Debian puts a voice into usr/share/asterisk/sounds/<voice>, upstream at the top of its
    archives; both have prompts in the voice's own folder as well as below it.

    Raises:
        MixframeError: no prompts, those of several voices, or not the expected ones.
    """
    prompts = sorted(root.rglob("*.g722"))
    if not prompts:
        raise MixframeError(f"{root}: no .g722 files in it")
    depth = min(len(p.parts) for p in prompts)
    tops = sorted({p.parent for p in prompts if len(p.parts) == depth})
    if len(tops) > 1:
        names = ", ".join(str(p.relative_to(root)) for p in tops)
        raise MixframeError(f"{root}: .g722 files of one voice expected, found {names}")
    by_name = {f"{voice}/{p.relative_to(tops[0]).as_posix()}": p for p in prompts}
    with atomic_path(path) as temporary:
        with closing(TarWriter(temporary, str(path))) as writer:
            for name in sorted(by_name):
                writer.add(name, by_name[name].read_bytes())
        actual = sha256_file(temporary)
        if actual != expected:
            raise MixframeError(
                f"its {len(prompts)} prompts make a tar with sha256 {actual}, expected {expected}: "
                "another version or damaged"
            )
    return len(prompts)


def _folder(params: Download, voice: str, work: Path) -> Path:
    if not params.folder:
        raise MixframeError("the key 'folder' is empty")
    folder = Path(params.folder)
    if not folder.is_dir():
        raise MixframeError(f"{folder}: no such folder")
    if (folder / voice).is_dir():
        return folder / voice
    pattern = f"{params.package(voice)}_{params.version}-*.deb"
    packages = sorted(folder.glob(pattern))
    if packages:
        return _unpack_deb(packages[-1], work)
    archive = folder / params.archive(voice)
    if archive.is_file():
        return _unpack(archive, work)
    raise MixframeError(f"{folder}: has neither {voice}/ nor {pattern} nor {archive.name}")


def _upstream(params: Download, voice: str, work: Path) -> Path:
    # Kept outside the work folder, so that a later run goes on with a cut transfer.
    path = work.parent / params.archive(voice)
    url = f"{params.upstream.rstrip('/')}/{path.name}"
    fetch.download(url, path, max_bytes=MAX_BYTES)
    try:
        return _unpack(path, work)
    finally:
        path.unlink()


def _debian(params: Download, voice: str, work: Path, renew: Callable[[], str]) -> Path:
    """Fetch a package by apt-get; root renews package lists that are absent or outdated.

    Raises:
        MixframeError: apt-get is absent, or failed; the message has what it said.
    """
    if shutil.which("apt-get") is None:
        raise MixframeError("apt-get is not installed")
    package = params.package(voice)
    arguments = ("download", f"{package}={params.version}-*")
    problem = _apt_get(arguments, work)
    if any(sign in problem for sign in NEEDS_UPDATE):
        if os.geteuid() != 0:
            raise MixframeError(f"{problem}; run `sudo apt-get update` once and start again")
        renewal = renew()
        problem = _apt_get(arguments, work)
        if problem and renewal:
            problem += f"; apt-get update: {renewal}"
    if problem:
        raise MixframeError(problem)
    return _unpack_deb(next(work.glob(f"{package}_*.deb")), work)


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
    """Unpack the prompts of a tar; return the folder they are in."""
    tree = work / "tree"
    unpack.extract(archive, tree, lambda name: name.endswith(".g722"), max_bytes=MAX_BYTES)
    return tree


def _unpack_deb(package: Path, work: Path) -> Path:
    """Unpack the prompts of a Debian package; return the folder they are in.

    Its content is the member data.tar.* (deb(5), ar(5)), compressed by zstd in Ubuntu's packages.

    Raises:
        MixframeError: not such a package, or cut or damaged.
    """
    name = data = b""
    with package.open("rb") as stream:
        if stream.read(len(AR_MAGIC)) != AR_MAGIC:
            raise MixframeError(f"{package}: not a Debian package")
        while not name.startswith(b"data.tar"):
            header = stream.read(AR_HEADER)
            if not header:
                raise MixframeError(f"{package}: no member data.tar in it")
            fields = re.fullmatch(rb"(.{16}).{32}([0-9]+) *`\n", header, re.DOTALL)
            if fields is None:
                raise MixframeError(f"{package}: damaged at byte {stream.tell() - len(header):,}")
            name, size = fields[1].rstrip(b" /"), int(fields[2])
            # Members start at even bytes.
            data = stream.read(size + size % 2)[:size]
    if name.endswith(b".zst"):
        try:
            data = pa.input_stream(pa.py_buffer(data), compression="zstd").read(MAX_BYTES)
        except OSError as error:
            raise MixframeError(f"{package}: {name.decode()}: cut or damaged ({error})") from error
    tar = work / f"{package.stem}.tar"
    tar.write_bytes(data)
    return _unpack(tar, work)
