"""A softmax whose classes are spread over processes, with the gradients that data-parallel training needs.

Every process computes the same loss value, the mean over the global batch. The gradients that reach its logits are those of
that one loss. With no process group, every function is the plain one-process computation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from biocosmos.errors import BiocosmosError

Group = Any  # torch.distributed.ProcessGroup, which some builds of torch lack


def place(group: Group = None) -> tuple[int, int]:
    """(rank, processes) in the group; (0, 1) where torch.distributed is not initialised."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


def class_shard(classes: int, rank: int, processes: int) -> tuple[int, int]:
    """(first class, number of classes) of one process: contiguous, the first ``classes % processes`` hold one more."""
    share, more = divmod(classes, processes)
    return share * rank + min(rank, more), share + (rank < more)


def gather_labels(labels: Tensor, group: Group = None) -> Tensor:
    """labels: (batch, ...) int64 of this process. Returns those of all processes, (processes * batch, ...), in rank order.

    Raises BiocosmosError, on every process, where the batches differ in length.
    """
    processes = place(group)[1]
    if processes == 1:
        return labels
    lengths = [torch.empty(1, dtype=torch.int64, device=labels.device) for _ in range(processes)]
    dist.all_gather(lengths, torch.tensor([len(labels)], device=labels.device), group=group)
    found = [int(length) for length in lengths]
    if len(set(found)) > 1:
        raise BiocosmosError(f"processes hold batches of {found} images: give every process the same number (drop_last=True)")
    parts = [torch.empty_like(labels) for _ in range(processes)]
    dist.all_gather(parts, labels.contiguous(), group=group)
    return torch.cat(parts)


def gather_embeddings(embeddings: Tensor, group: Group = None, *, whole: bool = False) -> Tensor:
    """embeddings: (batch, dim) of this process. Returns (processes * batch, dim), in rank order, differentiable.

    The gradient that comes back to a process is the sum over processes, times their number: DistributedDataParallel then
    divides by that number, and the encoder gets exactly the gradient of the loss of the global batch. whole: every process
    computes that loss from all rows, not a part of it, so that its own gradient is the sum already.
    """
    return embeddings if place(group)[1] == 1 else _Gather.apply(embeddings, group, whole)


def softmax_loss(logits: Tensor, columns: Tensor, group: Group = None) -> Tensor:
    """-log softmax at the own class, over the columns of all processes.

    logits: (batch, local columns), the rows the same on all processes. columns: (batch,) int64, the own class's local column,
    -1 on the processes that do not hold it. Returns: (batch,), equal on all processes; computed in log space.
    """
    loss: Tensor = _SoftmaxLoss.apply(logits, columns, group)
    return loss


def log1p_sum_exp(logits: Tensor, group: Group = None) -> Tensor:
    """log(1 + sum_j exp(logits_j)) over the columns of all processes; -inf leaves a column out.

    logits: (batch, local columns). Returns: (batch,), equal on all processes.
    """
    value: Tensor = _Log1pSumExp.apply(logits, group)
    return value


def sum_over_processes(x: Tensor, group: Group = None) -> Tensor:
    """x with, in its place, the sum of those of all processes; without a gradient."""
    return _all_reduce(x, group, dist.ReduceOp.SUM if dist.is_available() else None)


def _all_reduce(x: Tensor, group: Group, operation: Any) -> Tensor:
    if place(group)[1] > 1:
        dist.all_reduce(x, operation, group=group)
    return x


def _row_max(logits: Tensor, group: Group) -> Tensor:
    # a backend may drop a NaN here; the sums of exponentials that follow carry it on
    return _all_reduce(logits.amax(1), group, dist.ReduceOp.MAX if dist.is_available() else None)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, group: Group, whole: bool) -> Tensor:
        ctx.group, ctx.batch, ctx.whole = group, len(embeddings), whole
        parts = [torch.empty_like(embeddings, memory_format=torch.contiguous_format) for _ in range(place(group)[1])]
        dist.all_gather(parts, embeddings.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rank, processes = place(ctx.group)
        summed = gradient if ctx.whole else sum_over_processes(gradient.clone(memory_format=torch.contiguous_format), ctx.group)
        return summed[rank * ctx.batch : (rank + 1) * ctx.batch] * processes, None, None


class _SoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, columns: Tensor, group: Group) -> Tensor:
        highest = _row_max(logits, group)
        total = sum_over_processes((logits - highest[:, None]).exp_().sum(1), group)
        rows = (columns >= 0).nonzero().squeeze(1)
        own = logits.new_zeros(len(logits))
        own[rows] = logits[rows, columns[rows]]
        log_total = highest + total.log()
        ctx.save_for_backward(logits, log_total, rows, columns[rows])
        return log_total - sum_over_processes(own, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, log_total, rows, columns = ctx.saved_tensors
        local = (logits - log_total[:, None]).exp_().mul_(gradient[:, None])
        local[rows, columns] -= gradient[rows]
        return local, None, None


class _Log1pSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, group: Group) -> Tensor:
        highest = _row_max(logits, group).clamp_min(0.0)
        total = sum_over_processes((logits - highest[:, None]).exp_().sum(1), group)
        value = highest + ((-highest).exp() + total).log()
        # far below zero, highest is 0 and total carries the value: log1p keeps it
        value = torch.where(highest == 0, total.log1p(), value)
        ctx.save_for_backward(logits, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, value = ctx.saved_tensors
        return (logits - value[:, None]).exp_().mul_(gradient[:, None]), None
