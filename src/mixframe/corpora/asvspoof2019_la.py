"""ASVspoof 2019 logical access (Todisco et al., 2019; Wang et al., 2020).

Lines read `SPEAKER UTT - ATTACK KEY`, for instance `LA_0039 LA_E_2834763 - A11 spoof`. The flac
folders of dev and eval also hold utterances that only enrol speakers of the verification system
and are in no countermeasure protocol.
"""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import ASVSPOOF2019_LA

PROTOCOLS = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm"
SCORES = "ASVspoof2019_LA_asv_scores/ASVspoof2019.LA.asv"

CORPUS = Corpus(
    title="ASVspoof 2019 LA",
    page="https://datashare.ed.ac.uk/handle/10283/3336",
    licence="ODC-By 1.0",
    form=ASVSPOOF2019_LA,
    parts={
        "train": Part(f"{PROTOCOLS}.train.trn.txt", "ASVspoof2019_LA_train/flac"),
        "dev": Part(f"{PROTOCOLS}.dev.trl.txt", "ASVspoof2019_LA_dev/flac"),
        "eval": Part(f"{PROTOCOLS}.eval.trl.txt", "ASVspoof2019_LA_eval/flac"),
    },
    asv=(f"{SCORES}.dev.gi.trl.scores.txt", f"{SCORES}.eval.gi.trl.scores.txt"),
)
