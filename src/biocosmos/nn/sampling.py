"""A random choice of classes that keeps those in the batch, without sorting or permuting all classes."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_with(kept: Tensor, classes: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the numbers 0..classes-1: all of ``kept``, the others uniformly at random without replacement.

    kept: (n,) int64, unique. generator: on the CPU. Returns: (max(count, n),) int64 sorted, on the device of ``kept``.

    Draws as many numbers as are missing, marks them and repeats until none is missing. Nothing but the number of marks decides
    when to stop, so every set of unmarked numbers is equally likely; three or four rounds of shrinking size suffice.
    """
    missing, free = count - len(kept), classes - len(kept)
    if missing <= 0:
        return kept.sort().values
    leave_out = 2 * missing > free  # mark those left out instead: never more than half are to be hit
    marks = torch.zeros(classes, dtype=torch.bool, device=kept.device)
    marks[kept] = True
    to_mark = free - missing if leave_out else missing
    while to_mark > 0:
        before = int(marks.count_nonzero())
        marks[torch.randint(classes, (to_mark,), generator=generator).to(kept.device)] = True
        to_mark -= int(marks.count_nonzero()) - before
    if leave_out:
        marks[kept] = False
        marks.logical_not_()
    return marks.nonzero().squeeze(1)
