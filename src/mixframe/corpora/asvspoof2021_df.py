"""ASVspoof 2021 deepfake, evaluation only (Liu et al., 2023).

Lines of the keys read `SPEAKER TRIAL COMPRESSION SOURCE ATTACK KEY TRIM SUBSET VOCODER TASK TEAM
GENDER-PAIR LANGUAGE`. Published error rates pool the subset `eval` only.
"""

from mixframe.corpora.asvspoof2021_la import SUBSETS
from mixframe.corpora.protocol_file import Format
from mixframe.corpora.source import Corpus, Part
from mixframe.metrics import protocols

CORPUS = Corpus(
    title="ASVspoof 2021 DF",
    page="https://zenodo.org/records/4835108",
    licence="ODC-By 1.0; keys: see https://www.asvspoof.org",
    form=Format(
        columns=("speaker", "utterance", *protocols.COLUMNS[13][2:]),
        choices={"subset": SUBSETS},
    ),
    parts={"keys": Part("DF/CM/trial_metadata.txt", "ASVspoof2021_DF_eval/flac")},
    subsets=SUBSETS,
)
