"""What settles the votes of a trained system: `python -m benchmarks.voting PRESET SYSTEM [SEED]`.

Scores the dev set with the system in results/, once for each value of `ties`, and prints how many
of the frames of a vote were chosen by their order alone: taken from frames that rank equal, of
which others were left. Beside it the share of the second vote's frames that come from the first
block, and the mean place of the first votes' frames, 0 for the first and 1 for the last frame; and
how many of the frames of a first vote are others where the encoder is computed in bf16.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from mixframe.audio import manifest
from mixframe.experiment.layout import Layout
from mixframe.experiment.params import lookup, read_preset
from mixframe.models import fgfm, voting
from mixframe.models.params import FineGrainedHead
from mixframe.training.data import Batch
from mixframe.training.runner import Runner
from mixframe.training.systems.neural import Neural
from mixframe.training.systems.system import Work


def by_order(counts: Tensor, total: Tensor | None, choice: voting.Chosen) -> Tensor:
    """Count the frames that were chosen from frames of equal rank, of which others were left.

    Args:
        counts: (B, T) counted votes.
        total: (B, T) summed attention if that settles equal counts.
        choice: what was chosen.

    Returns:
        (B,) int64.
    """
    chosen = torch.zeros_like(counts, dtype=torch.bool).scatter(1, choice.index, choice.valid)
    tied = torch.ones_like(chosen)
    for ranks in [counts] if total is None else [counts, total]:
        lowest = ranks.masked_fill(~(chosen & tied), float("inf")).amin(1, keepdim=True)
        tied &= ranks == lowest
    return (tied & chosen).sum(1) * (tied & ~chosen).any(1)


class Recorder:
    """Votes as `mixframe.models.voting.vote` does, and keeps figures of every utterance."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.figures: dict[str, list[Tensor]] = {}
        self.first: list[Tensor] = []

    def __call__(
        self,
        attention: Tensor,
        mask: Tensor,
        votes: int,
        kernel: Tensor | None,
        by_attention: bool,
    ) -> voting.Chosen:
        """See `vote`; the second vote is the one without a kernel."""
        choice = voting.vote(attention, mask, votes, kernel, by_attention)
        counts = voting.count_votes(attention, mask, votes, kernel)
        total = voting.total_attention(attention, mask) if by_attention else None
        which = "second" if kernel is None else "first"
        self._keep(f"{which}_vote_by_order_alone", by_order(counts, total, choice))
        if kernel is None:
            self._keep("second_vote_from_first_block", (choice.index < votes).double().mean(1))
        else:
            places = choice.index / (mask.sum(1, keepdim=True) - 1)
            self._keep("first_vote_mean_place", places.double().mean(1))
            self.first.append(torch.zeros_like(mask).scatter(1, choice.index, choice.valid))
        return choice

    def _keep(self, name: str, values: Tensor) -> None:
        self.figures.setdefault(name, []).append(values.double())


def in_bf16(
    runner: Runner, function: Callable[[int, Batch], Any], parts: Sequence[Batch], precision: str
) -> list[Any]:
    """Do what `Runner._map` does, in bf16."""
    with torch.autocast(runner.device.type, torch.bfloat16):
        return [function(index, part.to(runner.device)) for index, part in enumerate(parts)]


def main() -> None:
    """Print the figures."""
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    name, system, seed = [*sys.argv[1:], "1"][:3]
    preset = read_preset(name)
    files = Layout(name, int(seed), preset.base)
    params = lookup(preset.finetune, system, "finetune")
    assert isinstance(params, Neural)
    assert isinstance(params.head, FineGrainedHead)
    untouched = params.encoder in ("random", "foundation")
    start = files.foundation if untouched else files.posttrained(params.encoder)
    # On one thread, so that votes come in the same order each time.
    compute = preset.compute.model_copy(update={"threads": 1})
    work = Work(start, preset.encoder, preset.score, compute, int(seed), system)
    table = manifest.read(files.manifest)
    dev = table[table["set"] == "dev"]
    report: dict[str, dict[str, float]] = {}
    for ties in ("time", "attention"):
        head = params.head.model_copy(update={"ties": ties})
        settled = params.model_copy(update={"head": head})
        recorder, rounded = Recorder(), Recorder()
        with patch.object(fgfm, "vote", recorder):
            settled.score(work, files.finetuned(system), dev)
        with patch.object(fgfm, "vote", rounded), patch.object(Runner, "_map", in_bf16):
            settled.score(work, files.finetuned(system), dev)
        report[ties] = {key: float(torch.cat(x).mean()) for key, x in recorder.figures.items()}
        pairs = zip(recorder.first, rounded.first, strict=True)
        others = torch.cat([(ours & ~theirs).sum(1) for ours, theirs in pairs])
        report[ties]["first_vote_others_in_bf16"] = float(others.double().mean())
        for key, value in report[ties].items():
            print(f"ties {ties}: {key} {value:.3f}")
    print(json.dumps({"votes": params.head.votes, "utterances": len(dev), **report}))


if __name__ == "__main__":
    main()
