"""PartialEdit v1.1 (2026): VCTK with words replaced by neural speech editing.

Lines read `E1/p225/x.wav,start,end[,start,end ...],duration`. Every utterance is spoof; the bona
fide ones are VCTK's own, which a preset adds as another corpus of the same set.
"""

from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.source import Part


def describe(utterance: str, spoof: bool) -> tuple[str, str]:
    """Return the speaker and the editing system, by the path."""
    system, speaker, *_ = [*utterance.split("/"), "-", "-"]
    return speaker, system


CORPUS = PartialCorpus(
    title="PartialEdit",
    page="https://zenodo.org/records/18829689",
    licence="CC BY 4.0",
    labels="partialedit",
    parts={name: Part("PartialEdit_E1E2.csv", name) for name in ("E1", "E2")},
    describe=describe,
    by_path=True,
)
