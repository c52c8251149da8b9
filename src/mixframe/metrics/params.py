"""Sections of a preset that say what is measured, and how."""

from typing import Annotated, Literal

from pydantic import Field

from mixframe.base.schema import Above0, Positive, Section


class Costs(Section):
    """Detection costs of minDCF and actDCF (ASVspoof 5 evaluation plan)."""

    p_spoof: Annotated[float, Field(gt=0, lt=1)]
    c_miss: Above0
    c_fa: Above0


class Bootstrap(Section):
    """Intervals.

    Attributes:
        unit: what is drawn with replacement: trial, or all trials that share a value of this
            column of the manifest.
    """

    resamples: Positive
    level: Annotated[float, Field(gt=0, lt=1)]
    unit: Literal["trial", "speaker", "prompt"]


class Evaluate(Section):
    """Stage evaluate.

    Attributes:
        segment_iou: overlap from which a predicted segment counts as found.
        resolutions: seconds of the segments whose EER says where speech is spoofed (PartialSpoof,
            Zhang et al., 2021).
        fuse: rows of the result table that are no systems: by name, the systems of the grid whose
            scores are fused by logistic regression on the set dev (`mixframe.metrics.fusion`).
    """

    costs: Costs
    bootstrap: Bootstrap
    segment_iou: Annotated[float, Field(gt=0, le=1)]
    resolutions: Annotated[list[Above0], Field(min_length=1)]
    fuse: dict[str, Annotated[list[str], Field(min_length=2)]] = Field(
        {}, exclude_if=lambda rows: not rows
    )
