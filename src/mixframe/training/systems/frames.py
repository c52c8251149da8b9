"""The neural system that learns from frame labels: where in an utterance speech is spoofed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import pandas as pd
from pydantic import Field, field_validator

from mixframe.models.frame_params import AnyFrameHead
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work

if TYPE_CHECKING:
    import torch

    from mixframe.audio.io import Reader
    from mixframe.models.backbone import Backbone
    from mixframe.models.detector import Detector
    from mixframe.models.frame_head import FrameDetector
    from mixframe.training.utterances import UtteranceTask


class Frames(Neural):
    """Stage finetune: an encoder with a head that judges frames.

    Attributes:
        head: frames = frame labels are learnt, and an utterance is judged by its frames; both =
            they are learnt beside the utterance's label, from which a head of its own judges it.
        short: shorter utterances stay as they are: repeated ones would have parts that are nowhere.
        train_sets: sets of the manifest to learn from. Their `regions` say which parts are spoofed;
            a spoofed utterance without any is spoofed from end to end.
        localise: sets whose frames are scored by stage score_frames.
    """

    kind: Literal["frames"]  # type: ignore[assignment]
    head: AnyFrameHead
    short: Literal["keep"]
    train_sets: Annotated[list[str], Field(min_length=1)]
    localise: list[str]

    @field_validator("train_sets")
    @classmethod
    def _leave_dev(cls, names: list[str]) -> list[str]:
        if "dev" in names:
            raise ValueError("dev selects, so nothing is learnt from it")
        return names

    @property
    def learns_from(self) -> list[str]:
        """See `System`."""
        return self.train_sets

    def trained(self, work: Work, folder: Path, device: "torch.device") -> "FrameDetector":
        """See `Neural`."""
        return cast("FrameDetector", super().trained(work, folder, device))

    def _task(
        self,
        detector: "Detector",
        work: Work,
        read: "Reader",
        learnt: pd.DataFrame,
        dev: pd.DataFrame,
    ) -> "UtteranceTask":
        """See `Neural`."""
        from mixframe.training.frame_labels import FrameLabelTask

        judging = cast("FrameDetector", detector)
        return FrameLabelTask(judging, self, self.head, work.scoring, read, learnt, dev, work.seed)

    def _assemble(self, backbone: "Backbone", seed: int) -> "FrameDetector":
        """See `Neural`."""
        from mixframe.models.frame_head import FrameDetector

        return FrameDetector(backbone, self.adapter, self.head, seed)
