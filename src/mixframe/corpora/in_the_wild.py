"""In-the-Wild, evaluation only (Muller et al., 2022).

`meta.csv` has the header `file,speaker,label`; speakers are public figures whose names have
spaces, and labels are `bona-fide` and `spoof`. Which system made a spoof is not known.
"""

from mixframe.corpora.source import Corpus, Part
from mixframe.metrics.trialfiles import Format

CORPUS = Corpus(
    title="In-the-Wild",
    page="https://deepfake-total.com/in_the_wild",
    licence="see the corpus's page",
    form=Format(
        "utterance,speaker,label",
        separator=",",
        header="file,speaker,label",
        labels={"bona-fide": "bonafide", "spoof": "spoof"},
        suffix=".wav",
    ),
    parts={"eval": Part("meta.csv", "")},
    suffix=".wav",
)
