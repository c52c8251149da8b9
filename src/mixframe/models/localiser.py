"""The frame classifier of post-training as a detector: an utterance is judged by some frames."""

from pathlib import Path

import torch
from torch import Tensor, nn

from mixframe.base.errors import MixframeError
from mixframe.base.files import write_json
from mixframe.base.tensors import first_line, load_tensors, save_tensors
from mixframe.models.backbone import Backbone, encode, frame_mask
from mixframe.models.detector import ADAPTER, ADAPTER_CONFIG, HEAD
from mixframe.models.frame_classifier import FrameClassifier


def top_mean(logits: Tensor, mask: Tensor, share: float) -> Tensor:
    """Return (B,) the mean of the highest logits of each row.

    Args:
        logits: (B, T).
        mask: (B, T), true where a logit is valid.
        share: of a row's valid logits, at least one, that make its mean; in (0, 1].
    """
    ranked = logits.masked_fill(~mask, float("-inf")).sort(dim=1, descending=True).values
    counted = (mask.sum(1) * share).ceil()  # at least one, as share is above 0
    heard = torch.arange(logits.shape[1], device=logits.device)[None] < counted[:, None]
    return ranked.masked_fill(~heard, 0.0).sum(1) / counted


class Localiser(nn.Module):
    """Scores utterances by the frames that look most like injected ones; higher = bona fide."""

    def __init__(self, backbone: Backbone, classifier: FrameClassifier, share: float) -> None:
        """`share` of an utterance's frames, at least one, makes its score."""
        super().__init__()
        self.backbone = backbone
        self.encoder = backbone.model
        self.classifier = classifier
        self._share = share

    def score(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, N) padded waveforms and (B,) lengths in samples to (B,) scores.

        A score is minus the mean logit of the `share` of valid frames with the highest logits,
        which are computed in fp32, also under autocast.
        """
        [frames] = encode(self.backbone, waves, lengths, all_layers=False)
        with torch.autocast(waves.device.type, enabled=False):
            logits = self.classifier(frames.float())
        mask = frame_mask(self.backbone.grid, lengths, logits.shape[1])
        mask = mask.to(logits.device, non_blocking=True)
        return -top_mean(logits, mask, self._share)

    def save(self, folder: Path) -> None:
        """Write the files of a detector: no adapter, and the frame classifier as its head."""
        write_json(folder / ADAPTER_CONFIG, {"peft_type": None})
        save_tensors({}, folder / ADAPTER)
        save_tensors(self.classifier.state_dict(), folder / HEAD)


def frame_classifier(path: Path, made_by: str, dim: int) -> FrameClassifier:
    """Read the frame classifier that the stage `made_by` wrote.

    Args:
        dim: width of the encoder's frames.

    Raises:
        MixframeError: the file is missing, or holds something else.
    """
    weights = load_tensors(path, made_by)
    try:
        classifier = FrameClassifier(dim, len(weights["layers.1.bias"]))
        classifier.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise MixframeError(
            f"{path}: no frame classifier of an encoder of width {dim} ({first_line(error)})"
        ) from error
    return classifier
