"""The neural system: an encoder, perhaps with adapters, under an utterance-level head."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixframe.base.imports import importing
from mixframe.models.heads import AnyHead
from mixframe.models.params import Adapter, draws_numbers
from mixframe.training.params import UtteranceTraining
from mixframe.training.systems.system import Fitted, Scorer, System, Work

if TYPE_CHECKING:
    import torch

    from mixframe.audio.io import Reader
    from mixframe.models.backbone import Backbone
    from mixframe.models.detector import Detector
    from mixframe.training.utterances import UtteranceTask


class Neural(UtteranceTraining, System):
    """Stage finetune: an encoder with a head.

    Attributes:
        encoder: random (same architecture, fresh weights), foundation, or a key of posttrain.
    """

    kind: Literal["neural"]
    encoder: str
    adapter: Adapter
    head: AnyHead

    @property
    def starts_from(self) -> str:
        """See `System`."""
        return self.encoder

    @property
    def votes_for_frames(self) -> bool:
        """See `System`."""
        return self.head.votes_for_frames

    def fit(self, work: Work, table: pd.DataFrame, state: Path) -> Fitted | None:
        """See `System`; validations are ranked by the dev EER."""
        with importing():
            from mixframe.training.data import cached_reader
            from mixframe.training.loop import train
            from mixframe.training.runner import Runner

        detector = self._detector(work)
        random_layers = draws_numbers(work.encoder, self.adapter)
        runner = Runner(work.compute, self.train.precision, random_layers)
        read = cached_reader(work.compute.keep_utterances)
        learnt, dev = table[table["set"].isin(self.learns_from)], table[table["set"] == "dev"]
        task = self._task(detector, work, read, learnt, dev)
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

    def scorer(self, work: Work, folder: Path) -> Scorer:
        """See `System`."""
        with importing():
            from mixframe.training.runner import Runner
            from mixframe.training.scoring import score, window

        runner = Runner(work.compute)
        detector = self.trained(work, folder, runner.device)
        if work.scoring.merge:
            detector.merge()
        heard = window(self, work.scoring)
        return lambda refs, samples, read: score(
            detector, refs, samples, heard, runner, read, work.what
        )

    def trained(self, work: Work, folder: Path, device: "torch.device") -> "Detector":
        """Return the trained detector on a device, ready to score.

        Args:
            folder: where `Fitted.save` wrote it.
        """
        detector = self._detector(work)
        detector.restore(folder)
        return detector.to(device).eval()

    def _task(
        self,
        detector: "Detector",
        work: Work,
        read: "Reader",
        learnt: pd.DataFrame,
        dev: pd.DataFrame,
    ) -> "UtteranceTask":
        """Return what is trained, given the manifest rows to learn from and to select on."""
        from mixframe.training.utterances import UtteranceTask

        return UtteranceTask(detector, self, work.scoring, read, learnt, dev, work.seed)

    def _assemble(self, backbone: "Backbone", seed: int) -> "Detector":
        """Put the head on an encoder; its weights are drawn from the seed."""
        from mixframe.models.detector import Detector

        return Detector(backbone, self.adapter, self.head, seed)

    def _detector(self, work: Work) -> "Detector":
        """Return the detector with the encoder's and fresh weights."""
        with importing():
            from mixframe.models import backbone as backbones

        assert work.start is not None, "starts_from names one"
        seed = work.seed if self.encoder == "random" else None
        return self._assemble(backbones.load(work.start, work.encoder, seed), work.seed)
