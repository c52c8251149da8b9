"""Sections of a preset that say how splices are made."""

from typing import Literal

from mixframe.audio.splicing.patterns import AnyPattern
from mixframe.base.schema import Above0, Count, LabelChoice, Positive, Seconds, Section, Share


class Splice(Section):
    """Stage splice: one policy of making mix-frame splices.

    Attributes:
        set: which set of the manifest base and injector utterances come from.
        base, injector: labels that may serve as base and as injector.
        speaker: whose injectors to take; same and different fall back to any where there is none.
        copies: plan rows for each base utterance.
        clean_share: share of rows left without a splice.
        max_seconds: longer base utterances are cropped at random to this.
        crossfade: samples over which base and injector blend, inside each region's ends; 0 cuts.
        match_gain: scale the injected part to the RMS of the part it replaces.
        max_gain_db: by at most this, so that pauses are not blown up to the level of speech.
        pattern: where the injected regions lie.
    """

    set: str
    base: LabelChoice
    injector: LabelChoice
    speaker: Literal["same", "different", "any"]
    copies: Positive
    clean_share: Share
    max_seconds: Seconds
    crossfade: Count
    match_gain: bool
    max_gain_db: Above0
    pattern: AnyPattern
