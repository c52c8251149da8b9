"""The convolutions of an encoder where a CPU computes in bf16: the front end channels last.

There torch rearranges what a `Conv1d` is given, before and after, which takes as long as the
convolution itself; a first layer, of one channel, takes ten times as long as the matrix product
that it is. Otherwise, in fp32 or on a GPU, everything is computed as the library does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, linear

NARROW = 16
"""Channels a group below which convolutions are kept from bf16 on a CPU.

With AMX, oneDNN as torch 2.11 has it gives wrong values for long kernels and 2, 4, 8 or 12 channels
a group. Published encoders have 48 and more.
"""


def in_bf16_on_cpu(tensor: Tensor) -> bool:
    """Return whether the CPU computes what follows under autocast."""
    return tensor.device.type == "cpu" and torch.is_autocast_enabled("cpu")


class LastConv1d(nn.Conv1d):
    """A convolution without padding, dilation or groups; (B, C, N) to (B, D, T)."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; the output's channels lie next to each other in memory."""
        if not in_bf16_on_cpu(x):
            return super().forward(x)
        if self.in_channels == 1:
            heard = x[:, 0].unfold(-1, self.kernel_size[0], self.stride[0])
            return linear(heard, self.weight[:, 0], self.bias).transpose(1, 2)
        wide = conv2d(x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, (1, self.stride[0]))
        return wide.squeeze(2)


class LastGroupNorm(nn.GroupNorm):
    """A norm of (B, C, T) over time, which keeps the channels where they are in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group of channels."""
        if not in_bf16_on_cpu(x):
            return super().forward(x)
        wide = group_norm(x.unsqueeze(2), self.num_groups, self.weight, self.bias, self.eps)
        return wide.squeeze(2)


def _in_fp32(
    convolve: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    if not in_bf16_on_cpu(x):
        return convolve(x, weight, bias)
    with torch.autocast("cpu", enabled=False):
        return convolve(x.float(), weight, bias)


def keep_narrow_groups_in_fp32(model: nn.Module) -> None:
    """Have convolutions of fewer than `NARROW` channels a group compute so."""
    for module in model.modules():
        if (
            isinstance(module, nn.Conv1d)
            and module.groups > 1
            and module.in_channels < NARROW * module.groups
        ):
            # Weight norm has put a class of its own on the module, so that none can take its place.
            module._conv_forward = partial(_in_fp32, module._conv_forward)  # type: ignore[method-assign]


def put_channels_last(extractor: Any) -> None:
    """Have a `feature_extractor` of transformers compute so, with its weights as they are."""
    kinds = {nn.Conv1d: LastConv1d, nn.GroupNorm: LastGroupNorm}
    for module in extractor.conv_layers.modules():
        module.__class__ = kinds.get(type(module), type(module))
