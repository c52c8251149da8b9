"""Fine-grained frame modelling (arXiv 2602.04702): voting in every block, refinement across them.

In each block the heads vote for frames (`mixframe.models.voting`). The frames chosen in all blocks
and the class token go through refinement blocks whose feed-forward is the dynamic aggregation one;
a second vote keeps the best, which with the class token pass the last blocks; the refined class
token is classified. An auxiliary classifier on the class token before refinement keeps the blocks'
own path trained (Xu et al., IEEE TMM 2023).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixframe.models.blocks import DynamicAggregation
from mixframe.models.params import FineGrainedHead
from mixframe.models.sequence import SequenceClassifier, block, with_token
from mixframe.models.voting import Votes, vote


class FineGrained(SequenceClassifier):
    """A Conformer or Transformer head with multi-head voting and cross-layer refinement."""

    kernel: Tensor

    def __init__(self, params: FineGrainedHead, dim: int) -> None:
        """`dim` is the width of the encoder."""
        super().__init__(params, dim)
        self._votes = params.votes

        def refinement() -> nn.Module:
            daffs = [
                DynamicAggregation(
                    params.dim, params.feed_forward, params.aggregation_kernel, params.squeeze
                )
                for _ in range(2 if params.block == "conformer" else 1)
            ]
            return block(params, (daffs[0], daffs[-1]))

        self.refine = nn.ModuleList(refinement() for _ in range(params.refine_blocks))
        self.finish = nn.ModuleList(refinement() for _ in range(params.final_blocks))
        self.auxiliary = nn.Linear(params.dim, 2)
        self.auxiliary_weight = params.auxiliary_weight
        self.register_buffer("kernel", torch.tensor(params.vote_kernel), persistent=False)

    def _watch(
        self, layers: Sequence[Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Votes]]:
        """Run the blocks.

        Returns:
            (B, 1, d) class token; (B, blocks * v, d) frames chosen in all blocks, block by block,
            and their (B, blocks * v) mask, those of short utterances moved together to the front;
            the votes.
        """
        x, present = self.embed(layers[-1], mask)
        chosen, votes = [], []
        for layer in self.blocks:
            x, attention = layer(x, present, watch=True)
            votes.append(vote(attention, mask, self._votes, self.kernel))
            chosen.append(votes[-1].gather(x[:, 1:]))
        frames, present = torch.cat(chosen, dim=1), torch.cat([v.valid for v in votes], dim=1)
        order = (~present).sort(dim=1, stable=True).indices
        frames = frames.gather(1, order[..., None].expand_as(frames))
        return x[:, :1], frames, present.gather(1, order), votes

    def training_logits(self, layers: Sequence[Tensor], mask: Tensor) -> list[tuple[float, Tensor]]:
        """Return the logits of the refined class token and of the one before refinement."""
        token, frames, present, _ = self._watch(layers, mask)
        x = torch.cat([token, frames], dim=1)
        attention = None
        for layer in self.refine:
            x, attention = layer(x, with_token(present), watch=True)
        assert attention is not None
        # Neighbours in this sequence are not neighbours in time, so nothing is smoothed.
        best = vote(attention, present, self._votes, None)
        x = torch.cat([x[:, :1], best.gather(x[:, 1:])], dim=1)
        for layer in self.finish:
            x, _ = layer(x, with_token(best.valid), watch=False)
        logits = self.classify(x[:, 0])
        return [(1.0, logits), (self.auxiliary_weight, self.auxiliary(token[:, 0]))]

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to (B, 2) logits: spoof, bona fide."""
        return self.training_logits(layers, mask)[0][1]

    def chosen(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Return (B, T) int64: in how many blocks each frame was chosen."""
        *_, votes = self._watch(layers, mask)
        counts = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        for block_votes in votes:
            counts.scatter_add_(1, block_votes.index, block_votes.valid.long())
        return counts
