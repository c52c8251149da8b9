"""Distortions: what happens to an utterance between a mouth and a detector.

A new one is a module with a section, whose `apply` does the work, and one line below.
"""

from typing import Annotated

from mixframe.audio.distortions.distortion import Distortion
from mixframe.base.schema import OneOf, sections

DISTORTIONS: dict[str, type[Distortion]] = sections(
    __name__,
    {
        "agc": "agc.GainControl",
        "band": "band.Band",
        "chain": "chain.Chain",
        "clip": "clip.Clip",
        "codec": "codec.Codec",
        "compress": "compress.Compress",
        "denoise": "denoise.Denoise",
        "dynamic": "dynamic.Dynamic",
        "gaps": "gaps.Gaps",
        "impulse_response": "impulse_response.ImpulseResponse",
        "level": "level.Level",
        "loss": "loss.Loss",
        "noise": "noise.Noise",
        "noise_files": "noise_files.NoiseFiles",
        "offset": "offset.Offset",
        "pad": "pad.Pad",
        "pitch": "pitch.Pitch",
        "polarity": "polarity.Polarity",
        "resample": "resample.Resample",
        "room": "room.Room",
        "stretch": "stretch.Stretch",
        "trim": "trim.Trim",
        "vorbis": "vorbis.Vorbis",
    },
)
"""The distortions by the kind that a condition gives."""

AnyDistortion = Annotated[Distortion, OneOf(DISTORTIONS)]
"""What every distortion is."""

for _section in DISTORTIONS.values():
    # Those that are made of others hold any of the table, which has only just come together.
    _section.model_rebuild(_types_namespace={"AnyDistortion": AnyDistortion})
