"""One thread for small work: sharing out a few milliseconds costs more than they do, above all on a machine that others use.

On two cores with a load of 10, fitting the nearest-neighbour namer on 500 vectors took 7 s on the clock with one thread and was
not done after 60 s with two, whose every product waits for the slower one (docs/identify.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

SMALL_VECTORS = 1 << 25
"""Numbers in the known vectors below which one thread fits and names: 26,000 vectors of 1,280."""


@contextmanager
def one_thread(small: bool = True) -> Iterator[None]:
    """Within it torch and the BLAS libraries compute with one thread; not ``small``: nothing changes."""
    if not small:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
