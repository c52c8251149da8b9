"""LlamaPartialSpoof, evaluation only (Luong et al., 2025).

Ids of fakes read `<list>-<system>-<full or partial>-<source>`; bona fide ones are utterances of
LibriTTS dev-clean and test-clean.
"""

import re

from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.source import Part

FAKE = re.compile(r"[^-]+-(.+?-(full|partial))\b.*")


def describe(utterance: str, spoof: bool) -> tuple[str, str]:
    """Return the speaker, which ids do not tell alike, and system and kind of a fake."""
    told = FAKE.fullmatch(utterance)
    attack = told[1] if told else "unknown"
    return "-", attack if spoof else "-"


CORPUS = PartialCorpus(
    title="LlamaPartialSpoof",
    page="https://zenodo.org/records/14214149",
    licence="see LICENSE.txt of the record",
    labels="llama",
    parts={name: Part(f"label_R01TTS.0.{name}.txt", f"R01TTS.0.{name}") for name in ("a", "b")},
    describe=describe,
)
