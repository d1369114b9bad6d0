"""The processes of one training run: alone, or started by torchrun, which says who is who in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist

from biocosmos.encoders.torch_backend import choose_device
from biocosmos.errors import BiocosmosError

PATIENCE = timedelta(hours=2)
"""How long the others wait while the first process validates or writes."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: 0 writes, validates and prints.
        size: how many there are.
        device: of this one.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised.item())

    def from_first(self, value: Any) -> Any:
        """What the first process has."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the run that torchrun started, with NCCL on CUDA and gloo elsewhere; alone without it.

    Raises BiocosmosError when a process has no GPU of its own.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    kind = choose_device(device)
    if size > 1 and kind == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise BiocosmosError(
                f"process {rank} has no GPU of its own: this machine has {torch.cuda.device_count()}; "
                "lower torchrun's --nproc-per-node"
            )
        kind = f"cuda:{local}"
    where = torch.device(kind)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if size == 1:
        yield Processes(0, 1, where)
        return
    joined = not dist.is_initialized()
    if joined:
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, size, where)
    finally:
        if joined:
            dist.destroy_process_group()
