"""Fine-grained frame modelling (arXiv 2602.04702): voting in every block, refinement across them.

In each block the heads vote for frames (`mixframe.models.voting`). The frames chosen in all blocks
and the class token go through refinement blocks whose feed-forward is the dynamic aggregation one;
a second vote keeps the best, which with the class token pass the last blocks; the class token that
comes out is classified. A second classification of the token that did not pass the last blocks, or
did not pass the refinement, helps training; see `FineGrainedHead.final_token`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixframe.models.blocks import DynamicAggregation
from mixframe.models.params import Choice, FineGrainedHead
from mixframe.models.sequence import SequenceClassifier, block, feed_forward, with_token
from mixframe.models.voting import Chosen, all_frames, most_attended, vote


class FineGrained(SequenceClassifier):
    """A Conformer or Transformer head with multi-head voting and cross-layer refinement."""

    kernel: Tensor

    def __init__(self, params: FineGrainedHead, dim: int) -> None:
        """`dim` is the width of the encoder."""
        super().__init__(params, dim)
        self._params = params
        self.refine = nn.ModuleList(refinement(params) for _ in range(params.refine_blocks))
        self.finish = nn.ModuleList(refinement(params) for _ in range(params.final_blocks))
        # With a weight of 0 it would be a layer that nothing trains.
        self.auxiliary = None
        if params.final_token == "refined" and params.auxiliary_weight > 0:
            self.auxiliary = nn.Linear(params.dim, 2)
        self.register_buffer("kernel", torch.tensor(params.vote_kernel), persistent=False)

    def _choose(
        self, how: Choice, attention: Tensor | None, mask: Tensor, kernel: Tensor | None
    ) -> Chosen:
        if how == "all":
            return all_frames(mask)
        assert attention is not None
        if how == "attention":
            return most_attended(attention, mask, self._params.votes)
        by_attention = self._params.ties == "attention"
        return vote(attention, mask, self._params.votes, kernel, by_attention)

    def _watch(
        self, layers: Sequence[Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Chosen]]:
        """Run the blocks.

        Returns:
            (B, 1, d) class token; (B, blocks * v, d) frames chosen in all blocks, block by block,
            and their (B, blocks * v) mask, those of short utterances moved together to the front;
            the choices.
        """
        x, present = self.embed(layers[-1], mask)
        how = self._params.first_choice
        frames, choices = [], []
        for layer in self.blocks:
            x, attention = layer(x, present, watch=how != "all")
            choices.append(self._choose(how, attention, mask, self.kernel))
            frames.append(choices[-1].gather(x[:, 1:]))
        present = torch.cat([c.valid for c in choices], dim=1)
        order = (~present).sort(dim=1, stable=True).indices
        chosen = torch.cat(frames, dim=1)
        chosen = chosen.gather(1, order[..., None].expand_as(chosen))
        return x[:, :1], chosen, present.gather(1, order), choices

    def training_logits(self, layers: Sequence[Tensor], mask: Tensor) -> list[tuple[float, Tensor]]:
        """Return the logits that score, and those of the auxiliary classification if it counts."""
        how, weight = self._params.second_choice, self._params.auxiliary_weight
        token, frames, present, _ = self._watch(layers, mask)
        x, attention = torch.cat([token, frames], dim=1), None
        for layer in self.refine:
            x, attention = layer(x, with_token(present), watch=how != "all")
        refined, frames = x[:, :1], x[:, 1:]
        # Neighbours in this sequence are not neighbours in time, so nothing is smoothed.
        best = self._choose(how, attention, present, None)
        passed = token if self._params.final_token == "unrefined" else refined
        x = torch.cat([passed, best.gather(frames)], dim=1)
        for layer in self.finish:
            x, _ = layer(x, with_token(best.valid), watch=False)
        logits = self.classify(x[:, 0])
        if self._params.final_token == "unrefined":
            auxiliary = self.classify(refined[:, 0])
            logits = logits + auxiliary.softmax(-1) * self.classify.weight.sum(-1)
            return [(1 - weight, logits), (weight, auxiliary)]
        if self.auxiliary is None:
            return [(1.0, logits)]
        return [(1.0, logits), (weight, self.auxiliary(token[:, 0]))]

    def forward(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Map layers of (B, T, D) and mask (B, T) to (B, 2) logits: spoof, bona fide."""
        return self.training_logits(layers, mask)[0][1]

    def chosen(self, layers: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Return (B, T) int64: in how many blocks each frame was chosen."""
        *_, choices = self._watch(layers, mask)
        counts = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        for choice in choices:
            counts.scatter_add_(1, choice.index, choice.valid.long())
        return counts


def refinement(params: FineGrainedHead) -> nn.Module:
    """Return a block of the kind of the head with the feed-forwards of the refinement."""

    def own() -> nn.Module:
        if params.refine_feed_forward == "plain":
            return feed_forward(params)
        return DynamicAggregation(
            params.dim, params.feed_forward, params.aggregation_kernel, params.squeeze
        )

    return block(params, own)
