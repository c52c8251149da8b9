"""The kinds of corpora: which sections of a preset describe one, and what carries them out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union

from pydantic import Field

from mixframe.base.schema import Section
from mixframe.corpora import PARTIAL, PUBLISHED, archives, arena, partial, table, trials
from mixframe.corpora.demo import corpus, source

if TYPE_CHECKING:
    import pandas as pd


class Kind(NamedTuple):
    """A kind of corpus.

    Attributes:
        download: makes a corpus available, given its section and the folder data/<corpus>; returns
            its entry of download.json.
        protocol: returns the rows of the manifest, given its section, the preset's seed, that
            entry, the tar for generated audio, and a number of processes.
    """

    download_section: type[Section]
    download: Callable[..., dict[str, Any]]
    protocol_section: type[Section]
    protocol: Callable[..., "pd.DataFrame"]


KINDS: dict[str, Kind] = {
    "arena": Kind(arena.Download, arena.download, arena.Protocol, arena.protocol),
    "table": Kind(table.Download, table.download, table.Protocol, table.protocol),
    "demo": Kind(source.Download, source.download, corpus.Protocol, corpus.protocol),
    **dict.fromkeys(
        PUBLISHED, Kind(archives.Download, archives.download, trials.Protocol, trials.protocol)
    ),
    **dict.fromkeys(
        PARTIAL, Kind(partial.Download, partial.download, partial.Protocol, partial.protocol)
    ),
    "partialspoof": Kind(
        partial.Download, partial.download, partial.PartialSpoofProtocol, partial.protocol
    ),
}

DownloadParams: Any = Annotated[
    Union[*dict.fromkeys(kind.download_section for kind in KINDS.values())],
    Field(discriminator="kind"),
]
ProtocolParams: Any = Annotated[
    Union[*dict.fromkeys(kind.protocol_section for kind in KINDS.values())],
    Field(discriminator="kind"),
]
