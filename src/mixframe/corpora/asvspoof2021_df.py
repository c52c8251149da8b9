"""ASVspoof 2021 deepfake, evaluation only (Liu et al., 2023).

Lines of the keys read `SPEAKER TRIAL COMPRESSION SOURCE ATTACK KEY TRIM SUBSET VOCODER TASK TEAM
GENDER-PAIR LANGUAGE`. Published error rates pool the subset `eval` only.
"""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import ASVSPOOF2021_DF, SUBSETS

CORPUS = Corpus(
    title="ASVspoof 2021 DF",
    page="https://zenodo.org/records/4835108",
    licence="ODC-By 1.0; keys: see https://www.asvspoof.org",
    form=ASVSPOOF2021_DF,
    parts={"keys": Part("DF/CM/trial_metadata.txt", "ASVspoof2021_DF_eval/flac")},
    subsets=SUBSETS,
)
