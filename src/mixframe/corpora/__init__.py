"""Corpora. Published ones are listed in `known`; one that is made here has a line in each union."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mixframe.corpora import archives, arena, demo, demo_source, trials
from mixframe.corpora.known import KNOWN

if TYPE_CHECKING:
    import pandas as pd

DownloadParams = Annotated[
    demo_source.Download | archives.Download | arena.Download, Field(discriminator="kind")
]
ProtocolParams = Annotated[
    demo.Protocol | trials.Protocol | arena.Protocol, Field(discriminator="kind")
]

DOWNLOAD: dict[str, Callable[..., dict[str, Any]]] = {
    "arena": arena.download,
    "demo": demo_source.download,
    **dict.fromkeys(KNOWN, archives.download),
}
PROTOCOL: dict[str, Callable[..., "pd.DataFrame"]] = {
    "arena": arena.protocol,
    "demo": demo.protocol,
    **dict.fromkeys(KNOWN, trials.protocol),
}
