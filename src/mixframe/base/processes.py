"""Several processes of one stage: started by torchrun's agent, joined by Hugging Face Accelerate.

Each process computes its share of every batch, or of the utterances to be scored; sums and
gathered results are the same in all of them. Process 0 alone holds the lock, writes files and shows
progress.
"""

import logging
import os
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixframe.base.errors import MixframeError


@dataclass(frozen=True)
class World:
    """This process among those of its stage.

    Attributes:
        index: from 0 to count - 1.
    """

    index: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    def share(self, items: Sequence[int]) -> Sequence[int]:
        """Return this process's contiguous part of numbers whose count `count` divides."""
        size = len(items) // self.count
        return items[self.index * size : (self.index + 1) * size]

    def sum(self, values: list[Tensor]) -> list[Tensor]:
        """Return the sums over all processes of tensors that each of them has."""
        if self.count == 1:
            return values
        from accelerate.utils import reduce

        return list(reduce(values, reduction="sum"))

    def add(self, values: np.ndarray, device: torch.device) -> np.ndarray:
        """Return the sum over all processes of float64 values."""
        if self.count == 1:
            return values
        return self.sum([torch.from_numpy(values).to(device)])[0].cpu().numpy()

    def gather(self, items: list[Any]) -> list[Any]:
        """Return the items of all processes, those of process 0 first."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        return list(gather_object(items))

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def join(cpu: bool) -> World:
    """Return this process's place; joins the others if torchrun started it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return World()
    from accelerate import PartialState

    state = PartialState(cpu=cpu)
    return World(state.process_index, state.num_processes)


def launch(processes: int) -> None:
    """Run this very command in several processes on this machine and end with their exit code.

    Raises:
        MixframeError: the processes could not be started.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # A process that fails says why itself; the agent's own account of it is a page long.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL + 1)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "mixframe", *sys.argv[1:])
    except ChildFailedError:
        sys.exit(1)
    except (RuntimeError, OSError) as error:
        raise MixframeError(f"compute.processes = {processes}: {error}") from error
    sys.exit(0)
