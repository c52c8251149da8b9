"""Frame arithmetic of convolutional front ends: the one place where samples become frames.

A stack of unpadded 1-D convolutions with kernels k_i and strides s_i maps N samples to T frames.
Frame t sees the samples [t * hop, t * hop + receptive_field).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixframe.base.errors import MixframeError
from mixframe.base.files import need_file, read_object

Labels = npt.NDArray[np.int8]


def read_grid(path: Path) -> "FrameGrid":
    """Return the frame grid of a foundation model from its config.json.

    Raises:
        MixframeError: the file is missing, or no configuration of such a model.
    """
    return grid_from(read_object(need_file(path, "pretrain")), str(path))


def grid_from(config: Mapping[str, Any], where: str) -> "FrameGrid":
    """Return the frame grid of a model configuration; `where` it is from, for messages.

    Raises:
        MixframeError: the model has no wav2vec 2.0-style front end.
    """
    kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
    if not kernels or not strides:
        raise MixframeError(
            f"{where}: model type '{config.get('model_type')}' has no conv_kernel and conv_stride: "
            "only encoders with a wav2vec 2.0-style convolution front end can be used"
        )
    for key, values in (("conv_kernel", kernels), ("conv_stride", strides)):
        if not isinstance(values, Sequence) or not all(type(v) is int and v > 0 for v in values):
            raise MixframeError(f"{where}: {key} = {values!r}, expected numbers of samples")
    return FrameGrid(tuple(kernels), tuple(strides))


@dataclass(frozen=True)
class FrameGrid:
    """How samples and frames correspond.

    Attributes:
        kernels: kernel of each convolution, in input steps of that layer.
        strides: stride of each convolution.
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.kernels) != len(self.strides) or not self.kernels:
            raise MixframeError(
                f"{len(self.kernels)} kernels and {len(self.strides)} strides: "
                "a convolution stack has one of each a layer"
            )

    @property
    def hop(self) -> int:
        """Samples between the starts of neighbouring frames."""
        return math.prod(self.strides)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        field, step = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            field += (kernel - 1) * step
            step *= stride
        return field

    def n_frames(self, n_samples: int) -> int:
        """Frames of an utterance of `n_samples` samples; 0 if it is shorter than one field."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            n_samples = (n_samples - kernel) // stride + 1
            if n_samples <= 0:
                return 0
        return n_samples

    def n_samples(self, n_frames: int) -> int:
        """Fewest samples that give `n_frames` frames."""
        return 0 if n_frames <= 0 else self.receptive_field + (n_frames - 1) * self.hop

    def labels(self, regions: Sequence[tuple[int, int]], n_samples: int) -> Labels:
        """Label each frame 1 if at least half of its receptive field lies inside the regions.

        For regions aligned to the hop this is the same as asking whether the centre of the
        receptive field lies inside one, wherever receptive_field < 2 * hop.

        Args:
            regions: half-open sample intervals [start, end), disjoint, within [0, n_samples).

        Returns:
            (T,) int8 with T = n_frames(n_samples).
        """
        inside = np.zeros(n_samples + 1, dtype=np.int64)
        for start, end in regions:
            inside[start + 1 : end + 1] = 1
        covered = np.cumsum(inside)
        starts = np.arange(self.n_frames(n_samples)) * self.hop
        overlap = covered[starts + self.receptive_field] - covered[starts]
        return (2 * overlap >= self.receptive_field).astype(np.int8)
