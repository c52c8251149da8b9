"""Stage download: fetch the corpora of a preset and pin their content.

Reads: the preset's `download` section, and whatever source serves a corpus.
Writes: data/<corpus>/ (shared by all presets; MIXFRAME_DATA names another folder than data) and
results/<preset>/download/download.json.
"""

from mixframe.base.files import write_json
from mixframe.base.folders import data_root
from mixframe.corpora.kinds import KINDS
from mixframe.stages.context import Context, running


def run(context: Context) -> None:
    """Run the stage.

    Raises:
        MixframeError: no source could serve a corpus, or its content is not the pinned one.
    """
    with running(context, "download"):
        entries = {
            name: KINDS[section.kind].download(section, data_root() / name)
            for name, section in context.preset.download.items()
        }
        write_json(context.files.download, entries)
