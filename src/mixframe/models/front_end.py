"""The convolutions of an encoder's front end where a CPU computes them in bf16, channels last.

There torch rearranges what a `Conv1d` is given, before and after, which takes as long as the
convolution itself; a first layer, of one channel, takes ten times as long as the matrix product
that it is. Otherwise, in fp32 or on a GPU, everything is computed as the library does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, linear


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


def put_channels_last(extractor: Any) -> None:
    """Have a `feature_extractor` of transformers compute so, with its weights as they are."""
    kinds = {nn.Conv1d: LastConv1d, nn.GroupNorm: LastGroupNorm}
    for module in extractor.conv_layers.modules():
        module.__class__ = kinds.get(type(module), type(module))
