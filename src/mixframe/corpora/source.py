"""What is known of a corpus that others distribute."""

from collections.abc import Mapping
from dataclasses import dataclass

from mixframe.corpora.protocol_file import Format


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
