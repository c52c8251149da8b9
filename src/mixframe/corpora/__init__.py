"""Corpora. Published ones are listed in `published`; one made here has a line in each union."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mixframe.corpora import archives, arena, trials
from mixframe.corpora.demo import corpus, source
from mixframe.corpora.published import KNOWN

if TYPE_CHECKING:
    import pandas as pd

DownloadParams = Annotated[
    source.Download | archives.Download | arena.Download, Field(discriminator="kind")
]
ProtocolParams = Annotated[
    corpus.Protocol | trials.Protocol | arena.Protocol, Field(discriminator="kind")
]

DOWNLOAD: dict[str, Callable[..., dict[str, Any]]] = {
    "arena": arena.download,
    "demo": source.download,
    **dict.fromkeys(KNOWN, archives.download),
}
PROTOCOL: dict[str, Callable[..., "pd.DataFrame"]] = {
    "arena": arena.protocol,
    "demo": corpus.protocol,
    **dict.fromkeys(KNOWN, trials.protocol),
}
