"""What is known of a corpus that others distribute."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mixframe.base.files import read_object, sha256_file
from mixframe.base.folders import data_root, is_below_root, stored
from mixframe.base.schema import Count, Section, validate
from mixframe.metrics.trialfiles import Format


@dataclass(frozen=True)
class Part:
    """One protocol and the audio it speaks of.

    Attributes:
        protocol: path of the file, or its end.
        audio: path of the folder with the audio, or its end; "" for the folder of the protocol.
    """

    protocol: str
    audio: str


@dataclass(frozen=True)
class Corpus:
    """A corpus.

    Attributes:
        page: where its authors publish it.
        licence: what a user agrees to by using it.
        parts: by name.
        suffix: of the audio files.
        subsets: values of the protocol's subset column; where there are any, a preset gives sets
            to subsets and not to parts.
        asv: files with scores of the organisers' speaker verification, for min t-DCF, which need
            not be there.
    """

    title: str
    page: str
    licence: str
    form: Format
    parts: Mapping[str, Part]
    suffix: str = ".flac"
    subsets: tuple[str, ...] = ()
    asv: tuple[str, ...] = ()

    @property
    def divisions(self) -> tuple[str, ...]:
        """What a preset can make sets of."""
        return self.subsets or tuple(self.parts)


def pin(path: Path) -> dict[str, Any]:
    """Return what download.json says of a file; the same on every machine."""
    return {"path": stored(path), "bytes": path.stat().st_size, "sha256": sha256_file(path)}


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Pinned(_Read):
    """A file as `pin` describes it, and the table of the preset that it belongs to."""

    path: str
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    table: str = ""


class Entry(_Read):
    """What download.json says of a corpus.

    Attributes:
        kind: of the corpus.
        title: of a corpus of one's own.
        roots: folders and tars to look for audio in.
        files, asv: what its kind reads.
    """

    kind: str
    title: str = ""
    roots: list[str] = []
    files: list[Pinned]
    asv: list[Pinned] = []


def read_entries(path: Path) -> dict[str, dict[str, Any]]:
    """Read download.json: by the name of a corpus what `Entry` has, without what is not given.

    Raises:
        MixframeError: the file is missing or not what the stage download writes.
    """
    return {
        name: validate(Entry, value, f"{path}, {name}").model_dump(exclude_unset=True)
        for name, value in read_object(path).items()
    }


def in_place(path: str, folder: Path) -> Path:
    """Return the folder that the key `path` of a preset names, by a path that is stored portably.

    A relative path is below the data root. A folder elsewhere gets a symbolic link from the data
    root, `<corpus>/in_place`, so that nothing downstream depends on where this machine has it.

    Args:
        folder: data/<corpus>, which exists.
    """
    source = data_root() / path
    if not source.is_dir() or is_below_root(source):
        return source
    link = folder / "in_place"
    temporary = folder / ".in_place"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.absolute(), target_is_directory=True)
    os.replace(temporary, link)
    return link


class PublishedSection(Section):
    """A section of a published corpus; `kind` is its name and that of its module."""

    kind: str

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the section and of the corpus."""
        return *super().modules(), f"mixframe.corpora.{self.kind}"


class LeftOut(NamedTuple):
    """A trial that the manifest lacks, or audio ("-" for set and label) that no protocol names."""

    corpus: str
    set: str
    utterance: str
    label: str
    reason: str
