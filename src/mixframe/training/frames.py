"""Mix-frames post-training: the encoder learns which of its frames were spliced in."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mixframe.audio.io import Reader
from mixframe.audio.splicing.rendering import Recipe, load
from mixframe.metrics import detection
from mixframe.models.adapters import adapt
from mixframe.models.backbone import Backbone, encode, frame_mask
from mixframe.models.frame_classifier import FrameClassifier
from mixframe.models.params import Adapter
from mixframe.training.data import CHUNK, Batch, draws, length_batches, pad
from mixframe.training.loop import Validation
from mixframe.training.params import Posttrain
from mixframe.training.runner import Runner


class FrameModel(nn.Module):
    """An encoder, perhaps with adapters, under the frame classifier."""

    def __init__(self, backbone: Backbone, adapter: Adapter, hidden: int, seed: int) -> None:
        """Put adapters into the encoder and a classifier on it, their weights drawn from `seed`.

        Args:
            hidden: the classifier's hidden width.

        Raises:
            MixframeError: the encoder has not what the adapter names.
        """
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = backbone
        self.encoder = backbone.model
        self.classifier = FrameClassifier(backbone.dim, hidden)
        self.peft = adapt(backbone, adapter)

    def merge(self) -> None:
        """Add what adapters have learnt to the encoder's own weights, and take them out of it."""
        if self.peft is not None:
            self.peft.merge_and_unload()
            self.peft = None

    def forward(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, N) waveforms and (B,) lengths in samples to (B, T) logits; above 0 = injected."""
        return self.classifier(encode(self.backbone, waves, lengths, all_layers=False)[0])


class FrameTask:
    """The task of stage posttrain; see `mixframe.training.loop.Task`."""

    def __init__(
        self,
        model: FrameModel,
        params: Posttrain,
        read: Reader,
        train: Sequence[Recipe],
        heldout: Sequence[Recipe],
        seed: int,
    ) -> None:
        """`train` and `heldout` are rendered when they are needed."""
        self.model = model
        self._params, self._read = params, read
        self._train, self._heldout = train, heldout
        n_draws = params.train.steps * params.train.batch
        self._order = draws(len(train), n_draws, seed)

    def samples(self, draw: int) -> int:
        """See `mixframe.training.loop.Task`."""
        return self._train[self._order[draw]].n_samples

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return the utterances of some draws with frame labels, or with utterance labels."""
        recipes = [self._train[self._order[n]] for n in numbers]
        batch, _ = frame_batch(recipes, self.model.backbone, self._read)
        if self._params.objective == "frames":
            return batch
        spoof = torch.tensor([float(r.label == "spoof") for r in recipes])
        return Batch(batch.waves, batch.lengths, spoof, batch.mask)

    def weight(self, batch: Batch) -> float:
        """Return the number of valid frames, or of utterances."""
        if self._params.objective == "utterance":
            return float(len(batch.lengths))
        assert batch.mask is not None
        return float(batch.mask.sum())

    def loss(self, part: Batch) -> Tensor:
        """Return the summed binary cross-entropy over valid frames, or over utterances."""
        logits = self.model(part.waves, part.lengths).float()
        positive = logits.new_full((), self._params.positive_weight)
        if self._params.objective == "utterance":
            assert part.mask is not None
            mask = part.mask[:, : logits.shape[1]]
            mean = (logits * mask).sum(1) / mask.sum(1)
            wanted = part.targets
        else:
            # A mask on the device would have to be counted there before the CPU could go on.
            mask = frame_mask(self.model.backbone.grid, part.lengths, logits.shape[1])
            valid = mask.flatten().nonzero()[:, 0].to(logits.device, non_blocking=True)
            mean = logits.flatten()[valid]
            wanted = part.targets[:, : logits.shape[1]].flatten()[valid]
        return nn.functional.binary_cross_entropy_with_logits(
            mean, wanted, pos_weight=positive, reduction="sum"
        )

    def validate(self, run: Runner) -> Validation:
        """Return the frame-level EER on held-out splices."""
        scores, labels = frame_scores(
            self.model, self._heldout, self._params.train.part, self._read, run
        )
        injected = np.concatenate(labels) == 1
        values = -np.concatenate(scores).astype(np.float64)
        eer = detection.eer(values[~injected], values[injected])
        return Validation((eer,), {"frame_eer": eer})


def frame_batch(
    recipes: Sequence[Recipe], backbone: Backbone, read: Reader
) -> tuple[Batch, list[np.ndarray]]:
    """Render recipes into a batch with frame labels.

    Returns:
        the batch (targets (B, T) float32, mask (B, T)) and the (T_i,) int8 labels of each.
    """
    waves, labels = zip(*(load(r, backbone.grid, read) for r in recipes), strict=True)
    padded, lengths = pad(waves, backbone)
    targets = nn.utils.rnn.pad_sequence(
        [torch.from_numpy(label.astype(np.float32)) for label in labels], batch_first=True
    )
    mask = frame_mask(backbone.grid, lengths, targets.shape[1])
    return Batch(padded, lengths, targets, mask), list(labels)


def frame_scores(
    model: FrameModel, recipes: Sequence[Recipe], batch: int, read: Reader, run: Runner
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Score every frame of some utterances.

    Args:
        batch: utterances scored at once, of similar length.

    Returns:
        for each recipe its (T,) float32 logits (above 0 = injected) and its (T,) int8 labels.
    """
    return by_frame(
        lambda b: model(b.waves, b.lengths).float(), model.backbone, recipes, batch, read, run
    )


def by_frame(
    function: Callable[[Batch], Tensor],
    backbone: Backbone,
    recipes: Sequence[Recipe],
    batch: int,
    read: Reader,
    run: Runner,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Compute something of every frame of some utterances.

    Args:
        function: from a batch to (B, T) or (B, T, D) values; of shorter utterances the
            first are taken.
        batch: utterances computed at once, of similar length.

    Returns:
        for each recipe its (T,) or (T, D) values and its (T,) int8 labels, 1 = injected.
    """
    world = run.world
    computed: list[tuple[int, np.ndarray, np.ndarray]] = []
    groups = length_batches([r.n_samples for r in recipes], batch, not backbone.masks_padding)
    groups = groups[world.index :: world.count]
    for chunk in (groups[i : i + CHUNK] for i in range(0, len(groups), CHUNK)):
        loaded = [frame_batch([recipes[i] for i in rows], backbone, read) for rows in chunk]
        results = run.infer(function, [b for b, _ in loaded])
        for rows, (_, labels), values in zip(chunk, loaded, results, strict=True):
            for row, label, value in zip(rows, labels, values, strict=True):
                computed.append((row, value[: len(label)].numpy(), label))
    by_row = sorted(world.gather(computed), key=lambda item: item[0])
    return [values for _, values, _ in by_row], [labels for *_, labels in by_row]
