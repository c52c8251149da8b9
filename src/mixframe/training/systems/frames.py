"""The neural system that learns from frame labels: where in an utterance speech is spoofed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pandas as pd
from pydantic import Field, field_validator

from mixframe.base.imports import importing
from mixframe.models.frame_params import AnyFrameHead
from mixframe.models.params import draws_numbers
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Fitted, Work

if TYPE_CHECKING:
    import torch

    from mixframe.models.frame_head import FrameDetector


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

    def fit(self, work: Work, table: pd.DataFrame, state: Path) -> Fitted | None:
        """See `System`; validations are ranked by the dev EER of utterances, or the dev loss."""
        with importing():
            from mixframe.training.data import cached_reader
            from mixframe.training.frame_labels import FrameLabelTask
            from mixframe.training.loop import train
            from mixframe.training.runner import Runner

        detector = self._detector(work)
        random_layers = draws_numbers(work.encoder, self.adapter)
        runner = Runner(work.compute, self.train.precision, random_layers)
        task = FrameLabelTask(
            detector,
            self,
            self.head,
            work.scoring,
            cached_reader(work.compute.keep_utterances),
            table[table["set"].isin(self.train_sets)],
            table[table["set"] == "dev"],
            work.seed,
        )
        outcome = train(
            task, self.train, self.average, runner, state, work.seed, work.what, self.patience
        )
        scores = task.dev_scores(runner)
        if not runner.world.main:
            return None
        counts = {
            "trainable": sum(p.numel() for p in detector.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in detector.parameters()),
        }
        card = {"parameters": counts, "averaged_steps": outcome.steps}
        return Fitted(detector.save, scores, outcome.rows, card)

    def trained(self, work: Work, folder: Path, device: "torch.device") -> "FrameDetector":
        """See `Neural`."""
        detector = self._detector(work)
        detector.restore(folder)
        return detector.to(device).eval()

    def _detector(self, work: Work) -> "FrameDetector":
        """Return the detector with the encoder's and fresh weights."""
        with importing():
            from mixframe.models import backbone as backbones
            from mixframe.models.frame_head import FrameDetector

        assert work.start is not None, "starts_from names one"
        seed = work.seed if self.encoder == "random" else None
        backbone = backbones.load(work.start, work.encoder, seed)
        return FrameDetector(backbone, self.adapter, self.head, work.seed)
