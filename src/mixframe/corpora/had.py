"""Half-truth audio detection, HAD, Chinese (Yi et al., 2021).

Lines read `UTT 0.00-1.43-T/1.43-2.02-F/2.02-4.03-T 0`: genuine and fake parts, and 1 for an
utterance that is genuine throughout. The audio is in zips inside the zip.
"""

from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.source import Part

CORPUS = PartialCorpus(
    title="Half-truth (HAD)",
    page="https://zenodo.org/records/10377492",
    licence="see the record",
    labels="had",
    parts={name: Part(f"HAD_{name}_label.txt", f"HAD_{name}") for name in ("train", "dev", "test")},
)
