"""The section of a preset that says where and how wide to compute."""

import os
from typing import Literal, Self

from mixframe.base.schema import Count, Positive, Section


class Compute(Section):
    """Where and how wide to compute.

    Attributes:
        device: auto takes the GPU if there is one.
        processes: of a training stage or of scoring, on this machine, a GPU each if there are any;
            with several of them sums are added in another order, so results differ by rounding.
        threads: slices of a batch computed at once on a CPU; 0 for all cores.
        workers: processes or threads that prepare data; 0 for all cores.
        keep_utterances: decoded utterances kept in memory while training; 0 keeps none.
        isa: pinned keeps to AVX2, so that processors of one maker give the same bytes
            (`mixframe.base.isa`); native lets libraries choose, which changes results, and the
            card of each system says so.
    """

    device: Literal["auto", "cpu", "cuda"]
    processes: Positive
    threads: Count
    workers: Count
    keep_utterances: Count
    isa: Literal["pinned", "native"]

    def resolved(self) -> Self:
        """Return a copy with each process's part of the usable cores in the place of 0."""
        usable = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        cores = max(1, (usable or 1) // self.processes)
        return self.model_copy(
            update={"threads": self.threads or cores, "workers": self.workers or cores}
        )
