"""A bundle as a model of the Speech Anti-Spoofing Arena's own runner.

    MIXFRAME_MODEL=FOLDER speech-spoof-bench run --model-module mixframe.arena:Model --datasets ...

github.com/lab260ru/speech_spoof_bench, docs/developing/new-model.md and
src/speech_spoof_bench/model.py. Where that package is not installed, the class stands alone.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from mixframe.base.errors import MixframeError


def _base() -> Any:
    try:
        return import_module("speech_spoof_bench.model").AntiSpoofingModel
    except ImportError:
        return object


Base: Any = _base()


class Model(Base):
    """The system of the bundle that the environment variable MIXFRAME_MODEL names.

    The runner builds it without arguments, calls `load` once, `score_batch` for up to `batch_size`
    utterances at a time, and `unload` at the end. It resamples to `expected_sample_rate` itself.
    """

    name = "mixframe"
    expected_sample_rate = 16000
    # Scores must not depend on what else is in a batch.
    batch_size = 1

    def load(self) -> None:
        """Load the bundle.

        Raises:
            MixframeError: MIXFRAME_MODEL is not set, or names no whole bundle.
        """
        from mixframe.bundle.detector import Detector

        folder = os.environ.get("MIXFRAME_MODEL")
        if not folder:
            raise MixframeError("MIXFRAME_MODEL is not set; it names the folder of a bundle")
        self.detector = Detector.load(folder)

    def score_batch(self, audios: Sequence[np.ndarray], srs: Sequence[int]) -> list[float]:
        """Return the scores of utterances; higher = more bona fide.

        Args:
            audios: (n,) float32 each.
            srs: their rates in Hz.

        Raises:
            MixframeError: an utterance cannot be scored, or its score is not finite; the runner
                then skips it.
        """
        scores = [self.detector.score(a, rate) for a, rate in zip(audios, srs, strict=True)]
        if not np.isfinite(scores).all():
            raise MixframeError("a score that is not finite")
        return scores

    def unload(self) -> None:
        """Let go of the bundle."""
        del self.detector
