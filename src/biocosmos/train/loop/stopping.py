"""How a training ends before its time: a signal, after which a checkpoint is kept, or too little memory, with what to lower."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from biocosmos.errors import BiocosmosError

_STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


@contextmanager
def stop_signals(note: Callable[[int], None]) -> Iterator[None]:
    """``note`` is called with SIGTERM and SIGUSR1 (which a batch system sends before it kills), in place of what they did."""

    def noted(number: int, _: Any) -> None:
        note(number)

    try:
        before = {number: signal.signal(number, noted) for number in _STOPPING}
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Whatever says that memory ran out becomes a BiocosmosError that names the settings to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        told = str(error).lower()
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in told for words in _MEMORY):
            raise BiocosmosError(
                f"out of memory with --batch-size {batch_size}: halve it and double --accumulate (the same step), lower --size, "
                "or lower --sample-rate when there are very many clusters; other settings begin anew: add --overwrite"
            ) from error
        raise
