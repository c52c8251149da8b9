"""Sections of a preset that say what training crops go through."""

from typing import Annotated, Literal

from pydantic import Field

from mixframe.base.schema import AtLeast0, Positive, Range, Section


class NoAugmentation(Section):
    """Training hears the utterances as they are."""

    kind: Literal["none"]


class RawBoost(Section):
    """RawBoost (Tak et al., ICASSP 2022): `mixframe.audio.augmentation`. Ranges are [low, high].

    Attributes:
        algorithm: 1 convolutive, 2 impulsive, 3 stationary noise; 4 = 1 + 2 + 3, 5 = 1 + 2,
            6 = 1 + 3, 7 = 2 + 3 in series; 8 = 1 and 2 side by side, added.
        bands, centre_hz, width_hz, taps, gain_db: of the notch filters; taps are whole numbers.
        harmonics: powers of the signal that are filtered and added.
        harmonic_drop_db: by how much the gain of powers above the first is lower.
        impulse_percent: at most this share of the samples, in percent, gets an impulse.
        impulse_gain: largest impulse in units of the sample it is added to.
        snr_db: of the stationary noise.
    """

    kind: Literal["rawboost"]
    algorithm: Annotated[int, Field(ge=1, le=8)]
    bands: Positive
    centre_hz: Range
    width_hz: Range
    taps: Range
    gain_db: Range
    harmonics: Positive
    harmonic_drop_db: Range
    impulse_percent: Annotated[float, Field(ge=0, le=100)]
    impulse_gain: AtLeast0
    snr_db: Range


Augmentation = Annotated[NoAugmentation | RawBoost, Field(discriminator="kind")]
