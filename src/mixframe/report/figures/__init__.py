"""The figures of the report: a module each, and a line here.

A module has a function `figure` from everything collected to a `Drawing`. One with a title has a
section of its own on the page; the others stand where report.html.j2 calls for them.
"""

from collections.abc import Callable

from mixframe.report.collect import Collected
from mixframe.report.draw import Drawing
from mixframe.report.figures import (
    attacks,
    calibration,
    codecs,
    curves,
    dag,
    degradation,
    det,
    embeddings,
    histograms,
    localisation,
    robustness,
    similarity,
    spliced,
    votes,
)

FIGURES: dict[str, Callable[[Collected], Drawing]] = {
    "det": det.figure,
    "histograms": histograms.figure,
    "calibration": calibration.figure,
    "attacks": attacks.figure,
    "codecs": codecs.figure,
    "spliced": spliced.figure,
    "curves": curves.figure,
    "localisation": localisation.figure,
    "votes": votes.figure,
    "embeddings": embeddings.figure,
    "similarity": similarity.figure,
    "robustness": robustness.figure,
    "degradation": degradation.figure,
    "dag": dag.figure,
}
"""By the name of the files."""


def draw(data: Collected) -> dict[str, Drawing]:
    """Make every figure."""
    return {name: figure(data) for name, figure in FIGURES.items()}
