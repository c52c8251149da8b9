"""The corpora that others distribute: one module each, one line in each of these two."""

from typing import Literal

from mixframe.corpora import (
    asvspoof5,
    asvspoof2019_la,
    asvspoof2021_df,
    asvspoof2021_la,
    in_the_wild,
)
from mixframe.corpora.source import Corpus

Kind = Literal["asvspoof2019_la", "asvspoof2021_la", "asvspoof2021_df", "asvspoof5", "in_the_wild"]

KNOWN: dict[str, Corpus] = {
    "asvspoof2019_la": asvspoof2019_la.CORPUS,
    "asvspoof2021_la": asvspoof2021_la.CORPUS,
    "asvspoof2021_df": asvspoof2021_df.CORPUS,
    "asvspoof5": asvspoof5.CORPUS,
    "in_the_wild": in_the_wild.CORPUS,
}
