"""Computing on a device, with a number of threads that never changes a result.

On a CPU each slice of a batch is computed by one thread, single-threaded inside.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.nn.utils import parametrize

from mixframe.base import isa
from mixframe.base.compute import Compute
from mixframe.base.errors import MixframeError
from mixframe.base.folders import STATE
from mixframe.base.processes import join
from mixframe.base.progress import log
from mixframe.models.norms import SLICE_INDEX
from mixframe.training.data import Batch


class FreeGpu:
    """The first GPU of this machine that no other stage of this folder holds; else the first.

    Engines that run stages side by side count GPUs but do not say which one is whose.
    """

    def __init__(self) -> None:
        """Hold it until the process ends."""
        self.index = 0
        for index in range(torch.cuda.device_count()):
            self._lock = FileLock(STATE / f"gpu-{index}.lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                continue
            self.index = index
            return


def multiply_in(precision: str) -> None:
    """Let a GPU round what it multiplies in fp32 to the 10 bits of TF32, or keep it from it.

    By itself torch rounds so in convolutions and not in products of matrices.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def multiplies_bf16() -> bool:
    """Return whether this process's CPU multiplies in bf16; elsewhere that takes minutes a step."""
    return isa.current() == "native" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Runner:
    """Computes on a device with a number of threads that never changes a result."""

    def __init__(self, compute: Compute, precision: str = "fp32", sequential: bool = False) -> None:
        """See `Runner`.

        Args:
            precision: of training; fp32 instead of bf16 on a CPU that does not multiply in it.
            sequential: whether slices are computed one after another: layers that draw random
                numbers need it.

        Raises:
            MixframeError: compute.device is cuda and there is no GPU.
        """
        cuda = torch.cuda.is_available()
        if compute.device == "cuda" and not cuda:
            raise MixframeError("compute.device = 'cuda': torch sees no GPU; choose auto or cpu")
        use_cuda = cuda and compute.device != "cpu"
        self.world = join(cpu=not use_cuda)
        self.device = torch.device("cpu")
        if use_cuda:
            local = os.environ.get("LOCAL_RANK")
            self._gpu = FreeGpu() if local is None else None
            self.device = torch.device("cuda", self._gpu.index if self._gpu else int(local or 0))
        self._told = False
        self.precision = self._possible(precision)
        wide = compute.resolved()
        self.sequential = use_cuda or sequential
        self.threads = 1 if self.sequential else wide.threads
        self.workers = wide.workers
        # Parallelism inside an operator would make sums depend on the number of threads.
        torch.set_num_threads(1)
        # As use_deterministic_algorithms, which imports torch's compiler to tell it.
        torch.set_deterministic_debug_mode("default" if use_cuda else "error")
        # That mode writes over memory before it is used, a tenth of a step; nothing here reads it.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False

    def _possible(self, precision: str) -> str:
        """Return what the device multiplies in where a precision is asked for; say what is not."""
        if precision != "bf16" or self.device.type == "cuda" or multiplies_bf16():
            return precision
        if not self._told:
            log("this CPU, as it is used, does not multiply in bf16: computing in fp32")
        self._told = True
        return "fp32"

    def ready(self, part: Batch) -> Batch:
        """Return a batch that `map` can copy to the device without waiting for it."""
        return part.pinned() if self.device.type == "cuda" else part

    def map(self, function: Callable[[int, Batch], Any], parts: Sequence[Batch]) -> list[Any]:
        """Apply `function` to every part's index and the part on the device; results in order."""
        return self._map(function, parts, self.precision)

    def _map(
        self, function: Callable[[int, Batch], Any], parts: Sequence[Batch], precision: str
    ) -> list[Any]:
        def one(index: int, part: Batch) -> Any:
            SLICE_INDEX.set(index)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16"):
                return function(index, part.to(self.device))

        multiply_in(precision)
        if self.threads == 1:
            return [one(index, part) for index, part in enumerate(parts)]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(one, range(len(parts)), parts))

    def infer(
        self,
        function: Callable[[Batch], Tensor],
        batches: Sequence[Batch],
        precision: str = "fp32",
    ) -> list[Tensor]:
        """Apply a function without gradients; the results come back to the CPU."""

        def one(_: int, part: Batch) -> Tensor:
            # Gradient mode is a property of the thread.
            with torch.inference_mode():
                return function(part).to("cpu", non_blocking=True)

        # Weights that are computed from others, as those of weight norm, are computed once.
        with parametrize.cached():
            ready = [self.ready(batch) for batch in batches]
            results = self._map(one, ready, self._possible(precision))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return results
