"""Batch normalisation that does not depend on padding, on the number of threads or of processes."""

from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor, nn

from mixframe.base.processes import World

SLICE_INDEX: ContextVar[int] = ContextVar("slice_index", default=0)
"""Which slice of the batch the running thread computes; `mixframe.training.runner` sets it."""


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the valid frames of a slice (Ioffe and Szegedy, 2015).

    `nn.BatchNorm1d` counts padded frames, and updates its running statistics while slices run side
    by side on threads, in whatever order they finish. Here each slice leaves its statistics, and
    `settle` updates the running ones once a step with their mean.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        """`channels` = 1 normalises the whole map by one mean and one variance."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self.momentum, self.eps = momentum, eps
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Normalise (B, T, C) with the statistics of the frames where mask (B, T) is true."""
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            over = (0, 1) if len(self.weight) > 1 else (0, 1, 2)
            counted = mask[..., None].float().expand(frames.shape)
            total = counted.sum(over)
            mean = (frames.float() * counted).sum(over).reshape(-1) / total
            variance = ((frames.float() - mean).square() * counted).sum(over).reshape(-1) / total
            self._seen[SLICE_INDEX.get()] = (mean.detach(), variance.detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return frames * scale + (self.bias - mean * scale)

    @torch.no_grad()
    def update_running_statistics(self, world: World) -> None:
        """Move the running statistics towards the mean over all slices of the step."""
        seen = [self._seen[index] for index in sorted(self._seen)]
        sums = [torch.stack(values).sum(0) for values in zip(*seen, strict=True)]
        total = int(world.add(np.array([float(len(seen))]), sums[0].device)[0])
        mean, variance = (value / total for value in world.sum(sums))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_variance.lerp_(variance, self.momentum)
        self._seen.clear()


def update_running_statistics(model: nn.Module, world: World) -> None:
    """Update the running statistics of all `MaskedBatchNorm` of a model after a training step."""
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm):
            module.update_running_statistics(world)
