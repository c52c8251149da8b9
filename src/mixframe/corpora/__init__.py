"""Corpora that others distribute: each is one file that says all of it, and one line below.

What fetches and reads them is in `archives` and `trials`; `kinds` has these and the corpora that
come in another way.
"""

from mixframe.corpora import (
    asvspoof5,
    asvspoof2019_la,
    asvspoof2021_df,
    asvspoof2021_la,
    had,
    in_the_wild,
    llamapartialspoof,
    partialedit,
    partialspoof,
)
from mixframe.corpora.localised import PartialCorpus
from mixframe.corpora.source import Corpus

PUBLISHED: dict[str, Corpus] = {
    "asvspoof2019_la": asvspoof2019_la.CORPUS,
    "asvspoof2021_la": asvspoof2021_la.CORPUS,
    "asvspoof2021_df": asvspoof2021_df.CORPUS,
    "asvspoof5": asvspoof5.CORPUS,
    "in_the_wild": in_the_wild.CORPUS,
}

PARTIAL: dict[str, PartialCorpus] = {
    "had": had.CORPUS,
    "llamapartialspoof": llamapartialspoof.CORPUS,
    "partialedit": partialedit.CORPUS,
    "partialspoof": partialspoof.CORPUS,
}
"""Corpora that say where their utterances are fake; `partial` reads them."""
