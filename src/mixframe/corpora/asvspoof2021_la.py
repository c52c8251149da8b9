"""ASVspoof 2021 logical access, evaluation only (Liu et al., 2023).

Lines of the keys read `SPEAKER TRIAL CODEC TRANSMISSION ATTACK KEY TRIM SUBSET`, for instance
`LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval`. Published error rates pool the subset
`eval` only.
"""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import ASVSPOOF2021_LA, SUBSETS

CORPUS = Corpus(
    title="ASVspoof 2021 LA",
    page="https://zenodo.org/records/4837263",
    licence="ODC-By 1.0; keys: see https://www.asvspoof.org",
    form=ASVSPOOF2021_LA,
    parts={"keys": Part("LA/CM/trial_metadata.txt", "ASVspoof2021_LA_eval/flac")},
    subsets=SUBSETS,
    asv=("LA/ASV/trial_metadata.txt", "LA/ASV/ASVTorch_Kaldi/score.txt"),
)
