"""The localising system: the frame classifier that post-training leaves, nothing trained on top."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pandas as pd
from pydantic import Field

from mixframe.audio import manifest
from mixframe.audio.io import SAMPLE_RATE, read
from mixframe.base.imports import importing
from mixframe.base.progress import is_main
from mixframe.metrics import detection
from mixframe.training.systems.system import Fitted, Scorer, System, Work

if TYPE_CHECKING:
    from mixframe.models.localiser import Localiser

CLASSIFIER = "classifier.safetensors"


class FrameSystem(System):
    """Stage finetune, localising row: an utterance is as spoofed as its most suspicious frames.

    Attributes:
        encoder: a key of posttrain with objective frames.
        share: of an utterance's frames, those with the highest logits, whose mean is its score.
    """

    kind: Literal["localiser"]
    encoder: str
    share: Annotated[float, Field(gt=0, le=1)]

    @property
    def starts_from(self) -> str:
        """See `System`."""
        return self.encoder

    def fit(self, work: Work, table: pd.DataFrame, state: Path) -> Fitted | None:
        """See `System`; nothing is trained, the dev set is scored.

        Raises:
            MixframeError: the encoder comes without a frame classifier.
        """
        dev = table[table["set"] == "dev"]
        localiser, scorer = self._loaded(work, None)
        scores = scorer(manifest.refs(dev), dev["samples"].tolist(), read)
        if not is_main():
            return None
        bonafide = (dev["label"] == "bonafide").to_numpy()
        eer = detection.eer(scores[bonafide], scores[~bonafide])
        total = sum(p.numel() for p in localiser.parameters())
        card = {"parameters": {"trainable": 0, "total": total}}
        return Fitted(localiser.save, scores, [{"step": 0, "dev_eer": eer}], card)

    def scorer(self, work: Work, folder: Path) -> Scorer:
        """See `System`."""
        return self._loaded(work, folder)[1]

    def _loaded(self, work: Work, folder: Path | None) -> tuple["Localiser", Scorer]:
        """Return the localiser saved in a folder, or post-training's own, and what scores by it."""
        with importing():
            from mixframe.models import backbone as backbones
            from mixframe.models.detector import HEAD
            from mixframe.models.localiser import Localiser, frame_classifier
            from mixframe.training.runner import Runner
            from mixframe.training.scoring import Window, score

        assert work.start is not None, "starts_from names one"
        runner = Runner(work.compute)
        backbone = backbones.load(work.start, work.encoder)
        path, maker = work.start / CLASSIFIER, "posttrain"
        if folder is not None:
            path, maker = folder / HEAD, "finetune"
        classifier = frame_classifier(path, maker, backbone.dim)
        localiser = Localiser(backbone, classifier, self.share).to(runner.device).eval()
        given = work.scoring
        longest = int(given.max_seconds * SAMPLE_RATE)
        heard = Window(given.batch, longest, tile=False, precision=given.precision)
        return localiser, lambda refs, samples, read: score(
            localiser, refs, samples, heard, runner, read, work.what
        )
