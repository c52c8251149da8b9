"""ASVspoof 5, track 1 (Wang et al., 2024).

The protocols are named .tsv, but single spaces separate their fields and there is no header:
`SPEAKER UTT GENDER CODEC CODEC_Q CODEC_SEED ATTACK_TAG ATTACK KEY -`. The folders may also hold
enrolment utterances of track 2.
"""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import ASVSPOOF5

CORPUS = Corpus(
    title="ASVspoof 5",
    page="https://zenodo.org/records/14498691",
    licence="ODC-By 1.0 (protocols and audio; see the LICENSE in the archives)",
    form=ASVSPOOF5,
    parts={
        "train": Part("ASVspoof5.train.tsv", "flac_T"),
        "dev": Part("ASVspoof5.dev.track_1.tsv", "flac_D"),
        "eval": Part("ASVspoof5.eval.track_1.tsv", "flac_E_eval"),
    },
)
