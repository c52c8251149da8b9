"""Corpora. A corpus is one module here and one line in each union below."""

from mixframe.corpora import demo, demo_source

DownloadParams = demo_source.Download
ProtocolParams = demo.Protocol

DOWNLOAD = {"demo": demo_source.download}
PROTOCOL = {"demo": demo.protocol}
